"""zarr, written."""
