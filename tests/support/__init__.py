"""Shared by tests and benchmarks: real servers, data, models."""
