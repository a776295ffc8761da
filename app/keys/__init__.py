"""API keys over HTTP: create, list, revoke."""
