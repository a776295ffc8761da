"""API keys over HTTP: create, list, rotate, revoke."""
