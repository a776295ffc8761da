"""Metrics of evaluation, with trivial baselines and confidence intervals."""
