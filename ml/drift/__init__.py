"""Sequential tests of drift, one a file."""
