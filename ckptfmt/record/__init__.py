"""TFRecord files: records of bytes, each in a checksummed frame."""
