"""Plain images decode to the same pixels as with Pillow; others are left to it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ml.data.files import fast_images, images

MAX_PIXELS = 10_000
PIXELS = {
    channels: np.random.default_rng(0).integers(0, 250, size=(20, 28, channels), dtype=np.uint8).cumsum(1) % 251
    for channels in (1, 3)
}


def pillow(encoded):
    decoded = np.asarray(Image.open(io.BytesIO(encoded)))
    return decoded[:, :, None] if decoded.ndim == 2 else decoded


def png(channels, **options):
    file = io.BytesIO()
    pixels = PIXELS[channels].astype(np.uint8)
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(file, "PNG", **options)
    return file.getvalue()


def text():
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a picture")
    return info


def chunk(chunk_type, content):
    return struct.pack(">I", len(content)) + chunk_type + content + struct.pack(">I", zlib.crc32(chunk_type + content))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"compress_level": 0}])
def test_a_plain_png_is_decoded_as_by_pillow(channels, options):
    encoded = png(channels, **options)
    np.testing.assert_array_equal(fast_images.read(encoded, max_pixels=MAX_PIXELS), pillow(encoded))


def test_data_in_several_chunks_are_joined():
    whole = png(3)
    length = int.from_bytes(whole[33:37], "big")
    data, rest = whole[41 : 41 + length], whole[45 + length :]
    encoded = whole[:33] + chunk(b"IDAT", data[:100]) + chunk(b"IDAT", data[100:]) + rest
    np.testing.assert_array_equal(fast_images.read(encoded, max_pixels=MAX_PIXELS), pillow(whole))


@pytest.mark.parametrize(
    "encoded",
    [
        png(1, transparency=3),
        png(3, pnginfo=text()),
        png(3, dpi=(72, 72)),
        png(1)[:-1],
        png(1)[:60],
        png(1)[:20],
        png(1).replace(b"IDAT", b"iDAT"),
        png(1)[:-5] + b"\x00" + png(1)[-4:],
        images.encode_png(np.zeros((101, 100, 1), dtype=np.uint8)),
        b"GIF89a",
        b"",
    ],
)
def test_images_that_are_not_plain_or_not_whole_are_left_to_pillow(encoded):
    assert fast_images.read(encoded, max_pixels=MAX_PIXELS) is None


@pytest.mark.parametrize("at", range(8, 60, 3))
def test_a_damaged_png_is_left_to_pillow(at):
    damaged = bytearray(png(3))
    damaged[at] ^= 0x10
    assert fast_images.read(bytes(damaged), max_pixels=MAX_PIXELS) is None


def test_missing_rows_are_black_as_in_pillow():
    header = struct.pack(">IIBBBBB", 28, 20, 8, 0, 0, 0, 0)
    short = zlib.compress((b"\x00" + b"\x07" * 28) * 19)
    encoded = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", short) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(fast_images.read(encoded, max_pixels=MAX_PIXELS), pillow(encoded))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("header", [b"28 20\n255\n", b"28\t20 255 ", b"# by hand\n28 20\n255\n", b"28 20\n254\n"])
def test_netpbm_is_decoded_as_by_pillow(channels, header):
    pixels = np.random.default_rng(0).integers(0, 250, size=(20, 28, channels), dtype=np.uint8)
    encoded = (b"P5\n" if channels == 1 else b"P6\n") + header + pixels.tobytes()

    decoded = images.decode(encoded + b"behind it")

    np.testing.assert_array_equal(
        decoded[:, :, 0] if channels == 1 else decoded, np.asarray(Image.open(io.BytesIO(encoded)))
    )


@pytest.mark.parametrize(
    ("encoded", "issue"),
    [
        (b"P5\n28 28\n255\n" + bytes(28 * 28 - 1), "image_truncated"),
        (b"P5\n90000 90000\n255\n" + bytes(9), "image_too_large"),
        (b"P5\n0 28\n255\n", "image_corrupt"),
    ],
)
def test_invalid_netpbm_is_rejected(encoded, issue):
    with pytest.raises(images.UnreadableImage) as caught:
        images.read(encoded)
    assert caught.value.issue == issue
