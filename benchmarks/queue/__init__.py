"""Benchmarks of the queue of jobs."""
