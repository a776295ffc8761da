"""MinHash signatures of texts, whose equal entries estimate the Jaccard similarity of their character n-grams.

One permutation hashing (Li, Owen, Zhang, 2012, arXiv:1208.1259) fills all entries in one pass; empty entries are copied
from others (Shrivastava, 2017, arXiv:1703.04664). Texts are compared without case, punctuation and line breaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters of one n-gram.
NGRAM: Final = 5
#: Entries of a signature.
ENTRIES: Final = 128
#: Entries of a signature that are equal for rows of one candidate pair; 16 bands of 8 find 95 % of the pairs with a
#: similarity of 0.8, and 99.99 % of those with 0.9 (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4).
ENTRIES_PER_BAND: Final = 8
#: Shorter texts, such as "yes" and "thank you", are alike without being copies.
MIN_CHARACTERS: Final = 16
#: Longer texts are compared by this many characters from their beginning.
MAX_CHARACTERS: Final = 20_000
#: Characters of the texts that are hashed together.
_BLOCK_CHARACTERS: Final = 1 << 20
_SEPARATORS: Final = re.compile(r"[\W_]+")
_PRIME: Final = np.uint64(0x100000001B3)
_MIXERS: Final = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_EMPTY: Final = np.uint32(0xFFFFFFFF)
_ENTRY_SHIFT: Final = np.uint64(64 - (ENTRIES.bit_length() - 1))


def make_signatures(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the signatures of N texts, uint32 [N, ENTRIES], and which are usable.

    The second array is bool [N]. Texts shorter than `MIN_CHARACTERS` have no signature; their entries are 0.
    """
    normalized = [normalize(text) for text in texts]
    is_usable = np.array([len(text) >= MIN_CHARACTERS for text in normalized], dtype=bool)
    signatures = np.zeros((len(texts), ENTRIES), dtype=np.uint32)
    block: list[int] = []
    characters = 0
    for row in np.flatnonzero(is_usable).tolist():
        block.append(row)
        characters += len(normalized[row])
        if characters >= _BLOCK_CHARACTERS:
            signatures[block] = _sign([normalized[index] for index in block])
            block, characters = [], 0
    if block:
        signatures[block] = _sign([normalized[index] for index in block])
    return signatures, is_usable


def normalize(text: str) -> str:
    """Return the words of a text in lower case, with one space between them."""
    return _SEPARATORS.sub(" ", text[: 2 * MAX_CHARACTERS].casefold()).strip()[:MAX_CHARACTERS]


def make_bands(signatures: np.ndarray) -> np.ndarray:
    """Return uint64 [N, bands]; rows that share one are candidates."""
    parts = signatures.reshape(len(signatures), ENTRIES // ENTRIES_PER_BAND, ENTRIES_PER_BAND).astype(np.uint64)
    bands = np.zeros(parts.shape[:2], dtype=np.uint64)
    for position in range(ENTRIES_PER_BAND):
        bands = _mix(bands ^ parts[:, :, position])
    return bands


def estimate_similarity(signatures: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the estimated Jaccard similarity of pairs of rows, float32 [n]."""
    similarity: np.ndarray = (signatures[rows] == signatures[others]).mean(axis=1, dtype=np.float32)
    return similarity


def _sign(texts: Sequence[str]) -> np.ndarray:
    """Return the signatures of normalized texts, uint32 [N, ENTRIES]."""
    # A text is followed by n - 1 zeros, whose n-grams belong to no text.
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    joined = ("\0" * (NGRAM - 1)).join(texts) + "\0" * (NGRAM - 1)
    codes = np.frombuffer(joined.encode("utf-32-le", "replace"), dtype="<u4").astype(np.uint64)
    hashes = np.zeros(len(codes) - NGRAM + 1, dtype=np.uint64)
    for offset in range(NGRAM):
        hashes = hashes * _PRIME + codes[offset : offset + len(hashes)]
    hashes = _mix(hashes)
    owners = np.repeat(np.arange(len(texts)), lengths + NGRAM - 1)[: len(hashes)]
    starts = np.cumsum(lengths + NGRAM - 1) - (lengths + NGRAM - 1)
    is_inside = np.arange(len(hashes)) - starts[owners] <= lengths[owners] - NGRAM
    hashes, owners = hashes[is_inside], owners[is_inside]
    signatures = np.full(len(texts) * ENTRIES, _EMPTY, dtype=np.uint32)
    places = owners * ENTRIES + (hashes >> _ENTRY_SHIFT).astype(np.int64)
    np.minimum.at(signatures, places, (hashes & np.uint64(0xFFFFFFFE)).astype(np.uint32))
    return _fill(signatures.reshape(len(texts), ENTRIES))


def _fill(signatures: np.ndarray) -> np.ndarray:
    """Copy entries of a text into its empty ones, alike for all texts."""
    is_empty = signatures == _EMPTY
    filled = signatures.copy()
    positions = np.arange(ENTRIES, dtype=np.uint64)
    for attempt in range(1, 64):
        sources = (_mix(positions + np.uint64(attempt * ENTRIES)) >> _ENTRY_SHIFT).astype(np.int64)
        can_fill = (filled == _EMPTY) & ~is_empty[:, sources]
        filled = np.where(can_fill, signatures[:, sources], filled)
        if not (filled == _EMPTY).any():
            break
    return filled


def _mix(values: np.ndarray) -> np.ndarray:
    """Finalizer of MurmurHash3."""
    shift = np.uint64(33)
    for mixer in _MIXERS:
        values = (values ^ (values >> shift)) * mixer
    mixed: np.ndarray = values ^ (values >> shift)
    return mixed
