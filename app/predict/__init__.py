"""Predictions over HTTP: request parsing, the fast path and the route, streams."""
