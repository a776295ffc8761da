#!/usr/bin/env bash
# Pillow 13.0.0 scales the pixels of gray PNGs with 2 or 4 bits to 0..255, but not their transparent value.
#
# PNG 1.2 (section 4.2.9, tRNS) states the transparent gray value at the bit depth of the image: value 5 of 0..15 in a
# 4-bit file. Pillow gives the pixels of value 5 as 85, and `info["transparency"]` still as 5. So `convert("RGBA")`
# makes no such pixel transparent, and makes one that is none if the scaled value happens to be equal. With 8 bits both
# agree. A reader must multiply the transparent value by 255 / (2**bits - 1) itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import zlib

from PIL import Image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gray_png(bits: int, values: list[int], transparent: int) -> bytes:
    packed = 0
    for value in values:
        packed = packed << bits | value
    row = packed.to_bytes(len(values) * bits // 8, "big")
    header = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", struct.pack(">H", transparent)), (b"IDAT", zlib.compress(b"\0" + row))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])


seen = {}
for bits, values in {2: [0, 1, 2, 3], 4: [0, 5, 10, 15], 8: [0, 85, 170, 255]}.items():
    image = Image.open(io.BytesIO(gray_png(bits, values, transparent=values[1])))
    alpha = list(image.convert("RGBA").getchannel("A").tobytes())
    seen[bits] = (list(image.tobytes()), image.info["transparency"], alpha)
    print(bits, "bits:", *seen[bits])
pixels = [0, 85, 170, 255]
assert seen[8] == (pixels, 85, [255, 0, 255, 255]), "8 bits: the second pixel is transparent"
assert seen[4] == (pixels, 5, [255] * 4), "4 bits: nothing is transparent"
assert seen[2] == (pixels, 1, [255] * 4), "2 bits: nothing is transparent"
print("as stated")
PYTHON
