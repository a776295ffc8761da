"""What tests and benchmarks share: real servers, data, models."""
