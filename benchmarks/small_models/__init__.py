"""Smaller and faster models: what they keep of the accuracy."""
