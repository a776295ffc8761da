"""Jobs over HTTP: start, list, control, and follow their events, logs and metrics."""
