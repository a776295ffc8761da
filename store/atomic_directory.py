"""Atomic files and folders: complete or absent, also after a crash or power cut."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_directory(target: Path, *, scratch: Path) -> Iterator[Path]:
    """Yield a folder below `scratch` that becomes `target` if the block succeeds.

    `scratch` is a folder on the same file system as `target`. Everything is flushed to the disk before the rename. If
    the block raises, what it wrote is removed.
    """
    staged = scratch / secrets.token_hex(8)
    staged.mkdir()
    try:
        yield staged
        fsync_tree(staged)
        publish(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def publish(staged: Path, target: Path) -> None:
    """Rename a flushed file or folder to `target`, and flush that name to the disk.

    A folder that another process has published as `target` meanwhile stays: keys are never reused, so it is the same
    tree. `staged` then stays, too.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        staged.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    fsync_path(target.parent)


def fsync_tree(directory: Path) -> None:
    """Flush a file, or a folder and everything below it, to the disk."""
    for path in (*directory.rglob("*"), directory):
        fsync_path(path)


def fsync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
