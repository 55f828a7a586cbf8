"""Files of Keras 3: archives, and weights in several files."""
