"""Default recipes on small datasets, beside simple models and an earlier build."""
