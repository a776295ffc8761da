"""Documents of any length are laid into windows of one length, to learn from every token and to waste few.

L tokens of a window.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ml.data.dataset import DatasetSummary

WINDOW: Final = 256
"""Tokens."""
LETTERS_A_TOKEN: Final = 1000
"""So many letters of training text for each token of the vocabulary: it must be seen often to be learned."""
SMALLEST_VOCABULARY: Final = 512
LARGEST_VOCABULARY: Final = 16_384


def reading_options(summary: DatasetSummary) -> dict[str, Any]:
    """How a text encoder is to cut what will be packed, by how much text there is."""
    letters = summary.facts.get("text", {}).get("mean_letters", 0) * max(1, sum(summary.splits.values()))
    fitting = 2 ** round(log2(max(1.0, letters / LETTERS_A_TOKEN)))
    return {"max_length": WINDOW, "vocabulary_size": min(LARGEST_VOCABULARY, max(SMALLEST_VOCABULARY, fitting))}


@dataclass(frozen=True, slots=True)
class Windows:
    """Equally many of each."""

    tokens: list[np.ndarray]
    """int32, up to L."""
    weights: list[np.ndarray]
    """float32 of the same lengths: how much it counts to have told each token from those before it in its window."""
    documents: list[list[int]]
    """Which documents begin in each window."""


def windows_of(encoder: Any, texts: Sequence[str]) -> list[np.ndarray]:
    """Texts as windows of the length of a text encoder."""
    documents = ((tokens, np.ones(len(tokens))) for tokens in encoder.pieces(texts))
    return pack(documents, length=encoder.shape()["length"], begin=begin_of(encoder), end=encoder.token("end")).tokens


def begin_of(encoder: Any) -> int:
    """The token that begins a text; of a tokenizer that has none, as GPT-2's, the one that ends the text before."""
    begin: int = encoder.tokens["begin"] if "begin" in encoder.tokens else encoder.token("end")
    return begin


def pack(
    documents: Iterable[tuple[np.ndarray, np.ndarray]], *, length: int, begin: int, end: int | None = None
) -> Windows:
    """Windows that overlap nothing, of documents as tokens and how much each token counts.

    Each document gets its `begin` and `end`. One that is longer than a window is cut into several pieces, which all
    begin with `begin`, so that the first token of a piece is learned, too, and so that a prompt may be any part of a
    text. Pieces are laid where they fit best, the longest first (Ding et al. 2024, arXiv:2404.10830): nothing else is
    cut.
    """
    pieces: list[tuple[np.ndarray, np.ndarray, int | None]] = []
    for index, (tokens, weights) in enumerate(documents):
        ended = tokens if end is None else np.append(tokens, end)
        counted = weights if end is None else np.append(weights, 1)
        for start in range(0, len(ended), length - 1):
            part = slice(start, start + length - 1)
            piece = np.concatenate([[begin], ended[part]]).astype(np.int32)
            weight = np.concatenate([[0], counted[part]]).astype(np.float32)
            pieces.append((piece, weight, None if start else index))
    places = _fit([len(piece) for piece, _, _ in pieces], length)
    return Windows(
        tokens=[np.concatenate([pieces[index][0] for index in window]) for window in places],
        weights=[np.concatenate([pieces[index][1] for index in window]) for window in places],
        documents=[[of for index in window if (of := pieces[index][2]) is not None] for window in places],
    )


def _fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Best fit, decreasing: the pieces of each window, windows and pieces in the order of what they begin with."""
    windows: list[list[int]] = []
    free: list[tuple[int, int]] = []
    """Of each window that is not full: how much room is left, and which it is."""
    for index in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        place = bisect_left(free, (lengths[index], -1))
        if place < len(free):
            left, window = free.pop(place)
        else:
            left, window = room, len(windows)
            windows.append([])
        windows[window].append(index)
        if left > lengths[index]:
            insort(free, (left - lengths[index], window))
    return sorted(sorted(window) for window in windows)
