"""Models in memory: look-up, loading, batching, streaming. Knows no HTTP."""
