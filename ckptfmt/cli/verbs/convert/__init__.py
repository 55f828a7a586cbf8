"""``ckptfmt convert``: tensors written for another program, or those of another program for TensorFlow."""
