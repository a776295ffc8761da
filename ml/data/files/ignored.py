"""Recognizes README, LICENSE and similar files, which lie beside data and are not data."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

_IGNORED: Final = frozenset({"readme", "license", "licence", "notice", "changelog", "citation"})


def is_ignored(name: str) -> bool:
    """Return whether the first word of a file name is one of these: `README.roboflow.txt`."""
    return PurePosixPath(name).name.lower().partition(".")[0] in _IGNORED
