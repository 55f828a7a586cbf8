"""Files: what a path is, how it is listed, read and written."""
