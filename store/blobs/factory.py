"""The blob storage of this process, chosen by `PLINTH_BLOB_URL`."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from store.settings import store_settings

if TYPE_CHECKING:
    from store.blobs.base import Blobs


@cache
def blobs() -> Blobs:
    """Return the storage that the settings name: `file:///folder` or `s3://bucket/prefix`.

    Raises:
        ValueError: the URL has another scheme.
    """
    url = urlsplit(store_settings().blob_url)
    if url.scheme == "file":
        from store.blobs.local import LocalBlobs

        return LocalBlobs(url.path, free_space_floor_bytes=store_settings().free_space_floor_bytes)
    if url.scheme == "s3":
        # Imported on demand: the client costs a web process 30 ms and some megabytes.
        s3 = importlib.import_module("store.blobs.s3")
        storage: Blobs = s3.S3Blobs(
            url.netloc, prefix=url.path.strip("/"), endpoint_url=store_settings().s3_endpoint_url
        )
        return storage
    raise ValueError(f"PLINTH_BLOB_URL must be file:///folder or s3://bucket/prefix, not {store_settings().blob_url!r}")
