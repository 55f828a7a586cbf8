"""The msgpack files of flax."""
