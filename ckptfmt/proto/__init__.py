"""TensorFlow's messages, compiled from ``protos/`` and kept out of protobuf's default pool."""
