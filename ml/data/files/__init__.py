"""Uploaded files: archives, text, images, audio, XML."""
