"""Tables of columns, made some rows at a time, and written to files or handed to other libraries."""
