"""HDF5 files of any program, and of Keras."""
