"""Formats of images with annotated objects."""
