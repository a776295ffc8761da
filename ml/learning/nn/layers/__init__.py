"""Layers and tensor functions that several networks share."""
