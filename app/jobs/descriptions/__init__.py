"""Sentences about jobs: plans before they start, and results."""
