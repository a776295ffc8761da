"""Recommendation on MovieLens: by behavior alone, and with texts."""
