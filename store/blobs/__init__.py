"""Blob storage: files and trees of files by key.

A tree is published completely or not at all.
"""

from store.blobs.base import Blobs
from store.blobs.factory import blobs

__all__ = ["Blobs", "blobs"]
