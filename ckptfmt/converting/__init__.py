"""Conversions: tensors of TensorFlow to the files of other programs, and back."""
