"""Similarity of texts and of images by signatures of constant size."""
