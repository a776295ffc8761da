"""Digits seen and heard, by models of one part and of both."""
