"""Default recipes on small data sets, beside simple models and an earlier build."""
