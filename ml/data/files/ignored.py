"""Notes that people and tools leave beside data, and that are none."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

_REMARKS: Final = frozenset({"readme", "license", "licence", "notice", "changelog", "citation"})


def is_ignored(name: str) -> bool:
    """Whether a file is a note on the data, by the first word of its name: `README.roboflow.txt` is one."""
    return PurePosixPath(name).name.lower().partition(".")[0] in _REMARKS
