"""Metrics of evaluation, each with its interval or baseline."""
