"""Measurements of a checkout for `tools.compare_behavior`."""
