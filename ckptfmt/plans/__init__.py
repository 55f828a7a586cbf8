"""Plans: renames and transforms as data, read from TOML or built in code."""
