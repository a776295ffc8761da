"""Data and evaluation of each modality for `benchmarks.pretraining_pays`."""
