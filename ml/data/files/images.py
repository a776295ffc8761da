"""Pictures: bytes of any usual make to uint8 [H, W, C] with C of 1 or 3, and back. Import and `/predict` share it.

How each make is read: grey stays one channel, at 8 bits (16 bits keep the upper 8); a palette becomes grey if all its
colours are, else RGB; CMYK and the like become RGB; what is transparent is laid over white; of several frames the first
counts; the orientation a camera noted is applied.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from ml.data.files import fast_images
from ml.errors import InputError

_MAKES: Final = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
MAX_PIXELS: Final = 25_000_000

_READABLE = "PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM"
_HAS_FRAMES = ("GIF", "PNG", "WEBP", "TIFF")
_ORIENTATION = 0x0112


class UnreadableImage(InputError):
    """A picture that cannot be read. `problem` is the code an import reports it under."""

    def __init__(self, problem: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels, and by code what had to be changed to get them."""

    pixels: np.ndarray
    repairs: tuple[str, ...]


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """uint8 [H, W, C], C of 1 or 3, not to be written to; raises `UnreadableImage`, an `InputError`."""
    return read(data, max_pixels=max_pixels).pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """The PNG of uint8 [H, W, C], C of 1 or 3."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height once it is upright, from the header alone; None where `decode` would fail."""
    try:
        with Image.open(io.BytesIO(data), formats=_MAKES) as image:
            width, height = image.size
            lying = image.getexif().get(_ORIENTATION, 1) >= 5
    except MemoryError:
        raise
    except Exception:  # see `read`
        return None
    return (height, width) if lying else (width, height)


def looks_like_image(start: bytes) -> bool:
    """Whether the first bytes (12 suffice) are those of a picture that `decode` knows."""
    return (
        start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*"))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (len(start) > 2 and start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace())
    )


def read(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Like `decode`, and says what was changed. The header is judged before a pixel is unpacked."""
    bare = fast_images.read(data, max_pixels=max_pixels)
    if bare is not None:
        return Picture(bare, ())
    if not looks_like_image(data[:12]):
        raise UnreadableImage(
            "image_unknown_format", "these bytes are not a picture", hint=f"send {_READABLE}, as a whole file"
        )
    try:
        with Image.open(io.BytesIO(data), formats=_MAKES) as image:
            width, height = image.size
            if width * height <= max_pixels:
                return _unpack(image)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers meet bytes nobody wrote: what they raise has no common base.
        raise _unreadable(error) from error
    raise UnreadableImage(
        "image_too_large",
        f"a picture of {width} x {height} pixels is over the limit of {max_pixels:,} pixels",
        hint="make the picture smaller",
    )


def _unreadable(error: Exception) -> UnreadableImage:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage("image_too_large", "the picture is far too large", hint="make the picture smaller")
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return UnreadableImage("image_truncated", "the picture ends too early", hint="send the whole file again")
    return UnreadableImage("image_corrupt", "the picture is damaged", hint="open it in a viewer and save it again")


def _unpack(image: Image.Image) -> Picture:
    repairs: list[str] = []
    if image.format in _HAS_FRAMES and getattr(image, "n_frames", 1) > 1:
        repairs.append("image_frames")
        image.seek(0)
    image.load()
    if image.mode not in ("L", "RGB") or "transparency" in image.info:
        image = _plain(image, repairs)
    if ("exif" in image.info or "xmp" in image.info) and image.getexif().get(_ORIENTATION, 1) != 1:
        repairs.append("image_rotated")
        image = ImageOps.exif_transpose(image)
    # What `np.asarray` comes to, in half the time of a small picture.
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)
    return Picture(pixels, tuple(repairs))


def _plain(image: Image.Image, repairs: list[str]) -> Image.Image:
    """As mode L or RGB; what is lost on the way is added to `repairs`."""
    if image.has_transparency_data:
        return _over_white(image, repairs)
    if image.mode.startswith("I"):
        repairs.append("image_16_bit")
        return _upper_8_bits(image)
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers")
    if image.mode == "1" or (image.mode == "P" and _is_grey(image)):
        return image.convert("L")
    if image.mode not in ("P", "RGBX"):
        repairs.append("image_colour_space")
    return image.convert("RGB")


def _over_white(image: Image.Image, repairs: list[str]) -> Image.Image:
    grey = image.mode in ("L", "LA", "1", "I;16") or (image.mode in ("P", "PA") and _is_grey(image))
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema()[0] != 255:
        repairs.append("image_transparent")
        layered = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
    return layered.convert("L" if grey else "RGB")


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3).T
    return bool((red == green).all() and (green == blue).all())


def _upper_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65_535:
        raise ValueError("pixels are beyond 16 bits")
    plain = Image.fromarray((values >> 8).astype(np.uint8))
    plain.info.update(image.info)
    return plain
