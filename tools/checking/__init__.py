"""Shared parts of the checks of `make check`: source files, violations, passages of text."""
