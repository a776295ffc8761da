"""Training of a package from a spec and a dataset: what a training job calls."""
