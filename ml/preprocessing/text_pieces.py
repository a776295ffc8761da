"""Pieces of very long texts, which are tokenized one after another to the same tokens.

A tokenizer's result takes about a hundred bytes for each token, so a text of a gigabyte must not be read at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Characters of a piece, and of the texts that are tokenized together.
PIECE_CHARACTERS: Final = 1_000_000
#: A single line break between two other characters: byte-level BPE splits a text there before it looks for merges.
_BOUNDARY: Final = re.compile(r"(?<=\S\n)(?=\S)")


def split_exactly(text: str) -> Iterator[str]:
    """Yield pieces of a text whose tokens, by byte-level BPE, are those of the whole.

    A piece is longer than `PIECE_CHARACTERS` where the text has no single line break.
    """
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        boundary = _BOUNDARY.search(text, start + PIECE_CHARACTERS)
        if boundary is None:
            break
        yield text[start : boundary.start()]
        start = boundary.start()
    yield text[start:] if start else text


def batched_by_length(texts: Iterable[str], characters: int) -> Iterator[list[str]]:
    """Yield lists of consecutive texts that have few more than `characters` together."""
    batch: list[str] = []
    length = 0
    for text in texts:
        batch.append(text)
        length += len(text)
        if length >= characters:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch
