"""Reduction of gray images to 8 bits, by their real range.

Cameras and microscopes store 10, 12 or 14 bits in 16, whose upper 8 bits alone would be almost black. The number of
bits is that of the file's header where it has one (PNG `sBIT`, TIFF `BitsPerSample` and `MaxSampleValue`), or else the
least of 8, 10, 12, 14 and 16 that holds the largest value. It depends on the image alone, so that a model gets in
training and in `/predict` the same pixels.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

DEPTHS: Final = (8, 10, 12, 14, 16)
#: Fraction of the range of its bits that the values of an image take up at least, or few gray levels remain.
MIN_RANGE: Final = 1 / 8
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK: Final = struct.Struct(">I4s")
#: Position of the bits per sample in a PNG.
_BIT_DEPTH_BYTE: Final = 24
#: TIFF tags (TIFF 6.0, section 8 and 19).
_BITS_PER_SAMPLE: Final = 258
_MAX_SAMPLE_VALUE: Final = 281


class ValuesOutOfRange(ValueError):
    """Pixel values that are negative, fractional or above 16 bits.

    Which of them are black and white is unknown.
    """


def reduce_to_8_bits(values: np.ndarray, depth: int | None) -> tuple[np.ndarray, int, bool]:
    """Reduce gray values to uint8.

    Args:
        values: Pixels [H, W], integers from 0 to 65,535.
        depth: Bits of the values as the header says; None to take the least that holds them.

    Returns:
        Pixels uint8 [H, W], the bits of the values, and whether they take up a small part of that range.

    Raises:
        ValuesOutOfRange: A value is negative, no integer, or above 16 bits.
    """
    lowest, highest = values.min(initial=0), values.max(initial=0)
    if values.dtype.kind == "f" or lowest < 0 or highest > 65_535:
        raise ValuesOutOfRange(f"pixel values from {lowest:g} to {highest:g}")
    bits = next(candidate for candidate in DEPTHS if highest < 1 << candidate)
    bits = max(bits, depth or 0)
    spread = int(values.max(initial=0)) - int(values.min()) if values.size else 0
    is_narrow = bits > DEPTHS[0] and spread < MIN_RANGE * (1 << bits)
    return (values >> (bits - 8)).astype(np.uint8), bits, is_narrow


def read_depth(image: Image.Image, data: bytes) -> int | None:
    """Return the bits of gray values as the header of a file says.

    None if it says nothing of use.
    """
    if image.format == "PNG":
        depth = _significant_bits(data)
    elif image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        depth = _to_depth(tags.get(_MAX_SAMPLE_VALUE)) or _first(tags.get(_BITS_PER_SAMPLE))
        # 16 bits are what the values are stored in, not how many they have.
        depth = None if depth == DEPTHS[-1] else depth
    else:
        # Pillow scales PGM by its largest value.
        depth = DEPTHS[-1]
    return depth if depth is not None and DEPTHS[0] <= depth <= DEPTHS[-1] else None


def png_bit_depth(data: bytes) -> int | None:
    """Return the bits per sample of a PNG; None for another file."""
    return data[_BIT_DEPTH_BYTE] if data.startswith(_PNG) and len(data) > _BIT_DEPTH_BYTE else None


def _significant_bits(data: bytes) -> int | None:
    """Return the first value of the chunk `sBIT`, which stands before the pixels."""
    start = len(_PNG)
    while start + _CHUNK.size <= len(data):
        length, chunk_type = _CHUNK.unpack_from(data, start)
        if chunk_type == b"sBIT" and length:
            return data[start + _CHUNK.size] if start + _CHUNK.size < len(data) else None
        if chunk_type in (b"IDAT", b"PLTE"):
            return None
        start += _CHUNK.size + length + 4
    return None


def _to_depth(highest: object) -> int | None:
    value = _first(highest)
    return value.bit_length() if value else None


def _first(value: object) -> int | None:
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None
