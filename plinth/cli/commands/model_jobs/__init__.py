"""Commands that start a job on a model."""
