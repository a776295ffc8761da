"""Folders that are complete or absent, also after a crash or a power cut."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_directory(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a scratch folder that becomes `target` if the block succeeds.

    Everything in it is flushed to the disk before the rename, so that `target` is there with all its files or not at
    all. If the block raises, the scratch folder is removed and `target` stays as it is.

    Args:
        target: Its parents are created. It must be absent or empty unless `replace` is set.
        replace: Remove an existing `target` just before the rename.

    Raises:
        OSError: `target` has files and `replace` is not set, or the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    scratch.mkdir()
    try:
        yield scratch
        for path in (*scratch.rglob("*"), scratch):
            fsync_path(path)
        if replace:
            shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        fsync_path(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fsync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
