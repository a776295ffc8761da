"""Health checks, Prometheus metrics and the state of the system over HTTP."""
