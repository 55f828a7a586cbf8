"""Reference files, by which zarr reads data files in place."""
