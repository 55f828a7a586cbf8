"""Archives and weights of Keras 3, written."""
