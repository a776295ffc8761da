"""Registered models over HTTP: list, import, export, aliases, downloads."""
