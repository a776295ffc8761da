"""Folders as they are shared: zipped, with whatever else lies in them."""

from __future__ import annotations

import zipfile
from pathlib import Path


def zipped(folder: Path, archive: Path, *, below: str = "", **more: bytes) -> Path:
    """Zip the files of a folder, and more by name."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, below + path.relative_to(folder).as_posix())
        for name, content in more.items():
            packed.writestr(below + name.replace("__", "/").replace("_dot_", "."), content)
    return archive
