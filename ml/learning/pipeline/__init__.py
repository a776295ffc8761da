"""From spec and dataset to a package: what a training job calls."""
