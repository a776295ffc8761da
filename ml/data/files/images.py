"""Image decoding to uint8 [H, W, C], and PNG encoding.

Import and `/predict` share it. C is 1 or 3. Conversions: gray images keep one channel, at 8 bits (of 16 bits the upper
8 remain); a palette becomes gray if all its colors are, else RGB; CMYK and other color spaces become RGB; transparent
pixels are blended with white; of several frames the first is read; the EXIF orientation is applied.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from ml.data.files import fast_images
from ml.errors import InputError

_FORMATS: Final = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
MAX_PIXELS: Final = 25_000_000

_FORMAT_NAMES = "PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM"
_MULTI_FRAME_FORMATS = ("GIF", "PNG", "WEBP", "TIFF")
_ORIENTATION = 0x0112


class UnreadableImage(InputError):
    """Image that cannot be decoded. `issue` is the code under which an import reports it."""

    def __init__(self, issue: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.issue = issue


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Pixels of one image, and the issue codes of the repairs that were applied."""

    pixels: np.ndarray
    repairs: tuple[str, ...]


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode to read-only uint8 [H, W, C], C of 1 or 3.

    Raises `UnreadableImage`, an `InputError`.
    """
    return read(data, max_pixels=max_pixels).pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 [H, W, C], C of 1 or 3, as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def read_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height after rotation, from the header alone; None if `decode` would fail."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            is_sideways = image.getexif().get(_ORIENTATION, 1) >= 5
    except MemoryError:
        raise
    except Exception:  # see `read`
        return None
    return (height, width) if is_sideways else (width, height)


def looks_like_image(start: bytes) -> bool:
    """Return whether the first 12 bytes are those of a supported image."""
    return (
        start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*"))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (len(start) > 2 and start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace())
    )


def read(data: bytes, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode like `decode`, and list the repairs.

    The header is checked before any pixel is unpacked.
    """
    plain_pixels = fast_images.read(data, max_pixels=max_pixels)
    if plain_pixels is not None:
        return DecodedImage(plain_pixels, ())
    if not looks_like_image(data[:12]):
        raise UnreadableImage(
            "image_unknown_format", "the file is not an image", hint=f"Send {_FORMAT_NAMES}, as a whole file."
        )
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height <= max_pixels:
                return _unpack(image)
    except MemoryError:
        raise
    except Exception as error:  # Exceptions that Pillow raises for malformed files have no common base.
        raise _to_unreadable(error) from error
    raise UnreadableImage(
        "image_too_large",
        f"the image has {width} x {height} pixels (limit {max_pixels:,} in all)",
        hint="Make the image smaller.",
    )


def _to_unreadable(error: Exception) -> UnreadableImage:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage(
            "image_too_large", "the image is far above the limit on pixels", hint="Make the image smaller."
        )
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return UnreadableImage("image_truncated", "the image file is cut off", hint="Send the whole file again.")
    return UnreadableImage(
        "image_corrupt", "the image cannot be decoded", hint="Open it in an image viewer and save it again."
    )


def _unpack(image: Image.Image) -> DecodedImage:
    repairs: list[str] = []
    if image.format in _MULTI_FRAME_FORMATS and getattr(image, "n_frames", 1) > 1:
        repairs.append("image_frames")
        image.seek(0)
    image.load()
    if image.mode not in ("L", "RGB") or "transparency" in image.info:
        image = _convert(image, repairs)
    if ("exif" in image.info or "xmp" in image.info) and image.getexif().get(_ORIENTATION, 1) != 1:
        repairs.append("image_rotated")
        image = ImageOps.exif_transpose(image)
    # Equal to `np.asarray(image)`, in half the time for a small image.
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)
    return DecodedImage(pixels, tuple(repairs))


def _convert(image: Image.Image, repairs: list[str]) -> Image.Image:
    """Convert to mode L or RGB, and add the conversions that lose information to `repairs`."""
    if image.has_transparency_data:
        return _blend_with_white(image, repairs)
    if image.mode.startswith("I"):
        repairs.append("image_16_bit")
        return _upper_8_bits(image)
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers")
    if image.mode == "1" or (image.mode == "P" and _has_gray_palette(image)):
        return image.convert("L")
    if image.mode not in ("P", "RGBX"):
        repairs.append("image_color_space")
    return image.convert("RGB")


def _blend_with_white(image: Image.Image, repairs: list[str]) -> Image.Image:
    is_gray = image.mode in ("L", "LA", "1", "I;16") or (image.mode in ("P", "PA") and _has_gray_palette(image))
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] != 255:
        repairs.append("image_transparent")
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return rgba.convert("L" if is_gray else "RGB")


def _has_gray_palette(image: Image.Image) -> bool:
    red, green, blue = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3).T
    return bool((red == green).all() and (green == blue).all())


def _upper_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65_535:
        raise ValueError("pixels are beyond 16 bits")
    converted = Image.fromarray((values >> 8).astype(np.uint8))
    converted.info.update(image.info)
    return converted
