"""Packing of documents of any length into windows of one length, with little padding.

L tokens of a window.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.preprocessing.ragged_array import RaggedArray, RaggedWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ml.data.dataset import DatasetSummary

WINDOW_TOKENS: Final = 256
#: Characters of training text for each token of the vocabulary; a rarer token is not learned.
CHARACTERS_PER_VOCABULARY_TOKEN: Final = 1000
MIN_VOCABULARY: Final = 512
MAX_VOCABULARY: Final = 16_384


def text_encoder_options(summary: DatasetSummary) -> dict[str, Any]:
    """Return options of a text encoder for packed text, by the amount of text."""
    facts = summary.facts.get("text", {})
    # Datasets of version 0.1 have `mean_letters`.
    mean = facts.get("mean_characters", facts.get("mean_letters", 0))
    characters = mean * max(1, sum(summary.splits.values()))
    vocabulary_size = 2 ** round(log2(max(1.0, characters / CHARACTERS_PER_VOCABULARY_TOKEN)))
    vocabulary_size = min(MAX_VOCABULARY, max(MIN_VOCABULARY, vocabulary_size))
    return {"max_length": WINDOW_TOKENS, "vocabulary_size": vocabulary_size}


@dataclass(frozen=True, slots=True)
class Windows:
    """Packed windows; the three have one entry for each window."""

    #: int32, up to L.
    tokens: list[np.ndarray] | RaggedArray
    #: float32 of the same lengths: weight of each token in the loss. Empty if the documents have none.
    weights: list[np.ndarray] | RaggedArray
    #: Indices of the documents that begin in the window.
    documents: list[list[int]]


def texts_to_windows(
    encoder: Any, texts: Sequence[str], *, scratch: Path | None = None
) -> list[np.ndarray] | RaggedArray:
    """Pack texts into windows of the length of a text encoder, see `pack_sequences`."""
    documents = ((tokens, None) for tokens in encoder.iterate_whole(texts))
    return pack_sequences(
        documents,
        length=encoder.shape()["length"],
        begin=begin_token(encoder),
        end=encoder.token("end"),
        scratch=scratch,
    ).tokens


def begin_token(encoder: Any) -> int:
    """Return the token that begins a text.

    A tokenizer without one, such as GPT-2's, uses the token that ends the text before.
    """
    begin: int = encoder.tokens["begin"] if "begin" in encoder.tokens else encoder.token("end")
    return begin


def pack_sequences(
    documents: Iterable[tuple[np.ndarray, np.ndarray | None]],
    *,
    length: int,
    begin: int,
    end: int | None = None,
    scratch: Path | None = None,
) -> Windows:
    """Pack documents, given as tokens and the weight of each token, into windows without overlap.

    All documents have weights, or none has. With a `scratch` folder, tokens and weights are mapped from files in it.

    Each document gets its `begin` and `end`. A document longer than a window is split into pieces, which all begin with
    `begin`, so that the first token of a piece is learned, too, and so that a prompt may be any part of a text. Pieces
    are placed by best-fit decreasing (Ding et al. 2024, arXiv:2404.10830), which splits nothing else.
    """
    tokens_of, weights_of = _Rows(scratch, "piece_tokens"), _Rows(scratch, "piece_weights")
    lengths = array("q")
    #: Document that begins with each piece; -1 for a further piece.
    firsts = array("q")
    for index, (tokens, weights) in enumerate(documents):
        all_tokens = tokens if end is None else np.append(tokens, end)
        all_weights = weights if end is None or weights is None else np.append(weights, 1)
        for start in range(0, len(all_tokens), length - 1):
            part = slice(start, start + length - 1)
            piece = np.concatenate([[begin], all_tokens[part]]).astype(np.int32)
            tokens_of.append(piece)
            if all_weights is not None:
                weights_of.append(np.concatenate([[0], all_weights[part]]).astype(np.float32))
            lengths.append(len(piece))
            firsts.append(-1 if start else index)
    windows = _best_fit(lengths, length)
    return Windows(
        tokens=_join_pieces(tokens_of.finish(), windows, _Rows(scratch, "tokens")),
        weights=_join_pieces(weights_of.finish(), windows, _Rows(scratch, "weights")),
        documents=[[firsts[index] for index in window if firsts[index] >= 0] for window in windows],
    )


class _Rows:
    """Rows in a list, or with a folder in files of it."""

    def __init__(self, directory: Path | None, name: str) -> None:
        self._rows: list[np.ndarray] = []
        self._writer = None if directory is None else RaggedWriter(directory, name)

    def append(self, row: np.ndarray) -> None:
        """Append a row."""
        if self._writer is None:
            self._rows.append(row)
        else:
            self._writer.extend([row])

    def finish(self) -> list[np.ndarray] | RaggedArray:
        """Return all rows."""
        return self._rows if self._writer is None else self._writer.finish()


def _join_pieces(
    pieces: Sequence[np.ndarray], windows: Sequence[Sequence[int]], into: _Rows
) -> list[np.ndarray] | RaggedArray:
    """Return the tokens or weights of each window; none if the pieces have none."""
    for window in windows if len(pieces) else ():
        into.append(np.concatenate([pieces[index] for index in window]))
    return into.finish()


def _best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return the pieces of each window by best-fit decreasing, sorted by their first piece."""
    windows: list[list[int]] = []
    #: Free capacity and number of each window that is not full, sorted.
    free: list[tuple[int, int]] = []
    for index in sorted(range(len(lengths)), key=lambda piece: -lengths[piece]):
        position = bisect_left(free, (lengths[index], -1))
        if position < len(free):
            capacity_left, window = free.pop(position)
        else:
            capacity_left, window = capacity, len(windows)
            windows.append([])
        windows[window].append(index)
        if capacity_left > lengths[index]:
            insort(free, (capacity_left - lengths[index], window))
    return sorted(sorted(window) for window in windows)
