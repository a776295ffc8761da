"""Serving models from memory: name resolution, loading, batching, streaming. Knows no HTTP."""
