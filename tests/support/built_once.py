"""Folders that are built once for all processes of a test run."""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Folder of this test run, the same in all its processes; `tests/conftest.py` sets it.
_shared: Path | None = None


def share_folder(folder: Path) -> None:
    """Keep what is built from now on in this folder."""
    global _shared
    _shared = folder


def copy_built(name: str, build: Callable[[Path], object], into: Path) -> None:
    """Copy a folder that the first process which needs it builds.

    Args:
        name: Name of the folder, the same for equal contents.
        build: Called with a path that does not exist yet; makes the folder.
        into: Path of the copy; it must not exist.
    """
    if _shared is None:
        build(into)
        return
    _shared.mkdir(exist_ok=True)
    folder = _shared / name
    with (_shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = _shared / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            build(unfinished)
            unfinished.rename(folder)
    shutil.copytree(folder, into)
