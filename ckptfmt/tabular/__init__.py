"""Tables: columns of NumPy arrays, made some rows at a time, to files and to the tables of other libraries."""
