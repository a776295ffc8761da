"""Similarity of texts and of images: signatures of constant size, and a search for similar rows."""
