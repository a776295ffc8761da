"""Derivation of the next version of a dataset by operations on its rows."""
