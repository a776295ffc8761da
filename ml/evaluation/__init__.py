"""Evaluation of packages on the rows of any dataset that fits."""
