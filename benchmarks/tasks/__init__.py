"""Benchmarks of tasks on public data: quality and training time."""
