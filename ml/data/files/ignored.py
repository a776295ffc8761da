"""Recognizes README, LICENSE and similar files, which lie beside data and are not data."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

_IGNORED: Final = frozenset({"readme", "license", "licence", "notice", "changelog", "citation", "_about"})
#: Suffixes of what corpora of translations bring beside each pair: where lines come from, and how sure they are.
_SIDE_SUFFIXES: Final = (".ids", ".scores", ".xml", ".info", ".align", ".meta")


def is_ignored(name: str) -> bool:
    """Return whether the first word of a file name is one of these: `README.roboflow.txt`."""
    return PurePosixPath(name).name.lower().partition(".")[0] in _IGNORED


def is_side_file(name: str) -> bool:
    """Return whether a file describes the lines of a pair of texts beside it: `en-fr.ids`."""
    bare = PurePosixPath(name.lower())
    return (PurePosixPath(bare.stem) if bare.suffix in (".gz", ".xz", ".bz2") else bare).suffix in _SIDE_SUFFIXES
