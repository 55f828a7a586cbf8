"""Raw bytes and TensorProto messages to NumPy arrays, and back."""
