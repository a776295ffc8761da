"""Zips of model folders."""

from __future__ import annotations

import zipfile
from pathlib import Path


def zip_folder(folder: Path, archive: Path, *, prefix: str = "", **extra_files: bytes) -> Path:
    """Zip the files of a folder below `prefix`, with further files by name.

    In the names of `extra_files`, `__` is a slash and `_dot_` a dot.
    """
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, prefix + path.relative_to(folder).as_posix())
        for name, content in extra_files.items():
            file.writestr(prefix + name.replace("__", "/").replace("_dot_", "."), content)
    return archive
