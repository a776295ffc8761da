"""Benchmarks of serving: requests per CPU second and latency."""
