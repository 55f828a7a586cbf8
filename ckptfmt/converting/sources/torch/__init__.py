"""Files of PyTorch, read without running anything in them."""
