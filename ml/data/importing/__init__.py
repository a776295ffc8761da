"""From uploaded files to a dataset on disk."""
