"""Fast decoder of plain images.

A plain image has 8 bits, is gray or RGB, and has no palette, no transparency and no EXIF orientation. Most images that
`/predict` receives are plain, and Pillow takes longer to look for other content in them than to decode their pixels.
All other files, and damaged ones, are left to Pillow (`ml.data.files.images`), which returns the same pixels for plain
images.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

#: Header of a binary PGM or PPM file (netpbm.sourceforge.net/doc/pgm.html) without comments, one byte per sample.
_NETPBM: Final = re.compile(rb"P([56])[ \t\r\n]+([1-9]\d{0,7})[ \t\r\n]+([1-9]\d{0,7})[ \t\r\n]+255[ \t\r\n]")
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
#: Width, height, bit depth, color type, compression, filter, interlace method (PNG, third edition, 11.2.2).
_HEADER: Final = struct.Struct(">IIBBBBB")
#: Length and type of a chunk.
_CHUNK: Final = struct.Struct(">I4s")
#: PNG color type -> Pillow mode.
_MODES: Final = {0: "L", 2: "RGB"}


def read(data: bytes, *, max_pixels: int) -> np.ndarray | None:
    """Decode to read-only uint8 [H, W, C], C of 1 or 3.

    None if the image is not plain, is damaged, or has more than `max_pixels` pixels.
    """
    if data.startswith(_PNG):
        return _read_png(data, max_pixels)
    return _read_netpbm(data, max_pixels) if data.startswith((b"P5", b"P6")) else None


def _read_netpbm(data: bytes, max_pixels: int) -> np.ndarray | None:
    header = _NETPBM.match(data)
    if header is None:
        return None
    width, height, channels = int(header[2]), int(header[3]), 1 if header[1] == b"5" else 3
    count = width * height * channels
    if width * height > max_pixels or len(data) - header.end() < count:
        return None
    return np.frombuffer(data, np.uint8, count, header.end()).reshape(height, width, channels)


def _read_png(data: bytes, max_pixels: int) -> np.ndarray | None:
    try:
        width, height, bits, color_type, _, _, interlace = _HEADER.unpack_from(data, 16)
        mode = _MODES.get(color_type)
        if mode is None or bits != 8 or interlace or not 0 < width * height <= max_pixels:
            return None
        compressed = _image_data(data)
        if compressed is None:
            return None
        image = Image.frombytes(mode, (width, height), compressed, "zip", mode, 0)
    except (struct.error, ValueError, OSError):
        return None
    return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, -1)


def _image_data(data: bytes) -> bytes | None:
    """Join the IDAT chunks of a PNG.

    None if a checksum is wrong, or there are chunks other than IHDR, IDAT and IEND.
    """
    parts = []
    start = 8
    while True:
        length, chunk_type = _CHUNK.unpack_from(data, start)
        end = start + 8 + length
        if zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        if chunk_type == b"IDAT":
            parts.append(data[start + 8 : end])
        elif chunk_type == b"IEND":
            return b"".join(parts)
        elif start > 8:
            return None
        start = end + 4
