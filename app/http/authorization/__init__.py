"""Keys of requests: their verification, scope, models and rate."""
