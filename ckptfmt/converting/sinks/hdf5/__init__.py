"""HDF5, written."""
