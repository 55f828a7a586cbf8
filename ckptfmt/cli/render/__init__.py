"""How results are written: drawn on a terminal, as plain text, as JSON, and as pictures."""
