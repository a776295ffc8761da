"""Folders as they are shared: zipped, with whatever else lies in them."""

from __future__ import annotations

import zipfile
from pathlib import Path


def zipped(folder: Path, archive: Path, *, below: str = "", **more: bytes) -> Path:
    """A zip of a folder's files, and of more by name (`__` is a slash, `_dot_` a dot)."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, below + path.relative_to(folder).as_posix())
        for name, content in more.items():
            packed.writestr(below + name.replace("__", "/").replace("_dot_", "."), content)
    return archive
