"""Prometheus metrics of requests and models."""
