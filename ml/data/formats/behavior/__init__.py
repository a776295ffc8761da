"""Behavior formats: logs of interactions between users and items."""
