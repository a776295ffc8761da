"""Tasks that predict one number for a row."""
