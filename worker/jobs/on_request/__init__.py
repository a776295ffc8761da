"""Programs that the API runs while a request waits; they are no jobs."""
