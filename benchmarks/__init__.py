"""Benchmarks: each module answers one question with a table."""
