"""Tasks that choose one class for a row."""
