"""Tensors: raw bytes (``array``) and TensorProto messages (``tensor_proto``) to NumPy arrays, and back."""
