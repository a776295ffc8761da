"""Logs of what users did."""
