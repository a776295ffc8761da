"""Pictures that hold pixels and nothing else: 8 bits, grey or RGB, no palette, no transparency, no turning.

Most images sent to `/predict` are of this kind, and for them Pillow takes longer to look for other content than to
read the pixels. Other or damaged files are left to Pillow (`ml.data.files.images`), which gives the same pixels.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

_NETPBM: Final = re.compile(rb"P([56])[ \t\r\n]+([1-9]\d{0,7})[ \t\r\n]+([1-9]\d{0,7})[ \t\r\n]+255[ \t\r\n]")
"""Header of a binary PGM or PPM (netpbm.sourceforge.net/doc/pgm.html) without comments, of one byte a sample."""
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_HEADER: Final = struct.Struct(">IIBBBBB")
"""Width, height, bits, colour type, compression, filters, interlacing (PNG, third edition, 11.2.2)."""
_CHUNK: Final = struct.Struct(">I4s")
_MODES: Final = {0: "L", 2: "RGB"}


def read(data: bytes, *, max_pixels: int) -> np.ndarray | None:
    """uint8 [H, W, C], C of 1 or 3, not to be written to; None for all that is not plain, whole and within bounds."""
    if data.startswith(_PNG):
        return _png(data, max_pixels)
    return _netpbm(data, max_pixels) if data.startswith((b"P5", b"P6")) else None


def _netpbm(data: bytes, max_pixels: int) -> np.ndarray | None:
    header = _NETPBM.match(data)
    if header is None:
        return None
    width, height, channels = int(header[2]), int(header[3]), 1 if header[1] == b"5" else 3
    count = width * height * channels
    if width * height > max_pixels or len(data) - header.end() < count:
        return None
    return np.frombuffer(data, np.uint8, count, header.end()).reshape(height, width, channels)


def _png(data: bytes, max_pixels: int) -> np.ndarray | None:
    try:
        width, height, bits, colour, _, _, interlaced = _HEADER.unpack_from(data, 16)
        mode = _MODES.get(colour)
        if mode is None or bits != 8 or interlaced or not 0 < width * height <= max_pixels:
            return None
        compressed = _only_data(data)
        if compressed is None:
            return None
        image = Image.frombytes(mode, (width, height), compressed, "zip", mode, 0)
    except (struct.error, ValueError, OSError):
        return None
    return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, -1)


def _only_data(data: bytes) -> bytes | None:
    """What the IDAT chunks hold, if there are no others but the first and the last and every checksum is right."""
    parts = []
    start = 8
    while True:
        length, kind = _CHUNK.unpack_from(data, start)
        end = start + 8 + length
        if zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        if kind == b"IDAT":
            parts.append(data[start + 8 : end])
        elif kind == b"IEND":
            return b"".join(parts)
        elif start > 8:
            return None
        start = end + 4
