"""Blobs: files and trees of files by key. A tree is there whole or not at all."""

from store.blobs.base import Blobs, blobs

__all__ = ["Blobs", "blobs"]
