"""Recommendation: items that a user will want next."""
