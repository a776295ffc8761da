"""Uploads over HTTP: resumable ones by the tus protocol, and forms."""
