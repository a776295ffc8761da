"""API keys over HTTP: create, list, change, rotate, revoke."""
