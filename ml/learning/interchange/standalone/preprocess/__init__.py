"""One file for each encoder, by its name: raw inputs become arrays."""
