"""Names of files of texts by language: `train.en.gz`, `train/de.txt`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMPRESSION_SUFFIX: Final = re.compile(r"\.(gz|bz2|xz)$", re.IGNORECASE)
_TEXT_SUFFIX: Final = re.compile(r"\.(txt|text|tok|raw|lc|bpe)$", re.IGNORECASE)
_LANGUAGE_SUFFIX: Final = re.compile(
    r"^(?P<before>.*?)[._-]?(?P<side>(?<![A-Za-z])[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,4})?)$", re.DOTALL
)
_SIDE_NAMES: Final = ("source", "target", "src", "tgt", "trg")
#: Ends of file names that look like a language and are none.
_NO_LANGUAGE: Final = frozenset(
    [
        "txt",
        "csv",
        "tsv",
        "tab",
        "xml",
        "tmx",
        "dat",
        "log",
        "doc",
        "pdf",
        "md",
        "py",
        "val",
        "dev",
        "tst",
        "alg",
        "ali",
        "aln",
        "idx",
        "ids",
        "voc",
        "lex",
        "trn",
        "raw",
    ]
)


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name divided into stem and side.

    `train.en.gz` has the stem `train` and the side `en`.
    """

    stem: str
    side: str

    @classmethod
    def parse(cls, file: str) -> FileName | None:
        """Divide a file name; None if its end is no side."""
        bare = _TEXT_SUFFIX.sub("", _COMPRESSION_SUFFIX.sub("", file))
        for side in _SIDE_NAMES:
            if match := re.fullmatch(rf"(.*?)[._-]?{side}", bare, re.IGNORECASE | re.DOTALL):
                return cls(match[1], side)
        match = _LANGUAGE_SUFFIX.fullmatch(bare)
        if match is None or match["side"].lower() in _NO_LANGUAGE:
            return None
        return cls(match["before"], match["side"].lower())


def are_pairs(files: Iterable[str]) -> bool:
    """Return whether all names are those of texts in two languages, some of them paired."""
    parsed = [FileName.parse(file) for file in files]
    sides_by_stem: dict[str, set[str]] = {}
    for name in parsed:
        if name is None:
            return False
        sides_by_stem.setdefault(name.stem, set()).add(name.side)
    sides = set().union(*sides_by_stem.values())
    return len(sides) == 2 and any(len(pair) == 2 for pair in sides_by_stem.values())
