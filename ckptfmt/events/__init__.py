"""Event files: what training runs log, scalars first."""
