"""Import: uploaded files become a dataset on disk."""
