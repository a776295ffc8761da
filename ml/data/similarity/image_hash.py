"""Perceptual hashes of images, and thumbnails to compare them.

The hash is the sign of the low frequencies of a cosine transform (pHash: Zauner, 2010, "Implementation and Benchmarking
of Perceptual Image Hash Functions"). It survives other sizes, compression and brightness, but not crops and mirrors.
Hashes of small or plain images coincide often, so that pairs are compared by their thumbnails.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Final

import numpy as np

from ml.data.files import images

#: Side of the gray image that is hashed, in pixels.
SIDE: Final = 32
#: Side of the low frequencies that make the hash.
FREQUENCIES: Final = 8
#: Side of a thumbnail in pixels.
THUMBNAIL_SIDE: Final = 16
#: Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601), as Pillow converts to gray.
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
#: Bits in which hashes of similar images differ at most.
MAX_DISTANCE: Final = 8
#: The 64 bits of a hash are cut into blocks; a band are two of them. Hashes that differ in up to 4 bits share one.
_BLOCK_BITS: Final = (11, 11, 11, 11, 10, 10)


def to_gray(image: np.ndarray | bytes) -> np.ndarray:
    """Return gray images of `SIDE` x `SIDE` pixels, float32 [..., SIDE, SIDE] in 0..255.

    Accepts pixels, uint8 [..., H, W, C], or one encoded image.
    """
    pixels = images.decode_small(image, min_side=2 * SIDE) if isinstance(image, bytes) else image
    height, width, channels = pixels.shape[-3:]
    gray = pixels.astype(np.float32) @ (_LUMA if channels == 3 else np.ones(1, dtype=np.float32))
    resized: np.ndarray = resampling(height) @ gray @ resampling(width).T
    return resized


def make_hashes(gray: np.ndarray) -> np.ndarray:
    """Return the hashes of N gray images, uint64 [N]; `gray`: float32 [N, SIDE, SIDE]."""
    frequencies = (_COSINES @ gray @ _COSINES.T).reshape(len(gray), -1)
    # The first frequency is the brightness.
    bits = frequencies > np.median(frequencies[:, 1:], axis=1, keepdims=True)
    hashes: np.ndarray = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    return hashes


def make_thumbnails(gray: np.ndarray) -> np.ndarray:
    """Return thumbnails of zero mean and unit norm, float16 [N, THUMBNAIL_SIDE ** 2].

    They are zero for a plain image.
    """
    step = SIDE // THUMBNAIL_SIDE
    small = gray.reshape(len(gray), THUMBNAIL_SIDE, step, THUMBNAIL_SIDE, step).mean(axis=(2, 4))
    flat = small.reshape(len(gray), -1)
    centered = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centered, axis=1, keepdims=True)
    # Contrast below one gray level is noise of compression.
    thumbnails: np.ndarray = np.where(norms > THUMBNAIL_SIDE, centered / np.maximum(norms, 1), 0).astype(np.float16)
    return thumbnails


def make_bands(hashes: np.ndarray) -> np.ndarray:
    """Return uint64 [N, bands] for hashes, uint64 [N]; rows that share one are candidates."""
    ends = np.cumsum(_BLOCK_BITS)
    blocks = [
        (hashes >> np.uint64(end - bits)) & np.uint64((1 << bits) - 1)
        for end, bits in zip(ends, _BLOCK_BITS, strict=True)
    ]
    bands = [(upper << np.uint64(11)) | lower for upper, lower in itertools.combinations(blocks, 2)]
    return np.stack(bands, axis=1)


def compare(hashes: np.ndarray, thumbnails: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the similarity of pairs of rows, float32 [n].

    It is the correlation of their thumbnails, and 0 if their hashes differ in more than `MAX_DISTANCE` bits.
    """
    similarity = np.zeros(len(rows), dtype=np.float32)
    pairs = np.flatnonzero(np.bitwise_count(hashes[rows] ^ hashes[others]) <= MAX_DISTANCE)
    left, right = (thumbnails[selected[pairs]].astype(np.float32) for selected in (rows, others))
    similarity[pairs] = np.einsum("ij,ij->i", left, right)
    return similarity


@cache
def resampling(size: int, target: int = SIDE) -> np.ndarray:
    """Return the matrix that averages `size` pixels into `target`, float32 [target, size]."""
    edges = np.linspace(0, size, target + 1)
    pixels = np.arange(size)
    overlaps = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.maximum(overlaps, 0)
    matrix: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _cosines() -> np.ndarray:
    """Return the first rows of the cosine transform, float32 [FREQUENCIES, SIDE]."""
    angles = np.pi * (2 * np.arange(SIDE) + 1)[None, :] * np.arange(FREQUENCIES)[:, None] / (2 * SIDE)
    cosines: np.ndarray = np.cos(angles).astype(np.float32)
    return cosines


_COSINES: Final = _cosines()
