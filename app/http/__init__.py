"""HTTP layer: problem documents, gateway middleware, request bodies, access log, processes."""
