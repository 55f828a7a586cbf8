"""Models of Keras 2, as Keras 3 stores them."""
