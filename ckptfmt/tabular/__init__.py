"""Tables of columns, made some rows at a time, and their way into files and into other libraries."""
