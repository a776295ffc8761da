"""Blobs: files and trees of files by key. A tree is there whole or not at all."""

from store.blobs.base import Blobs, blobs
from store.blobs.local import LocalBlobs
from store.blobs.s3 import S3Blobs

__all__ = ["Blobs", "LocalBlobs", "S3Blobs", "blobs"]
