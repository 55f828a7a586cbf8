"""zarr directories, archives and reference files."""
