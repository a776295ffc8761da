"""Formats whose rows have several parts: an image, a text, an audio clip, measurements."""
