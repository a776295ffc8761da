"""Image decoding to uint8 [H, W, C], and PNG encoding.

Import and `/predict` share it. C is 1 or 3. Conversions: gray images keep one channel, at 8 bits (see
`ml.data.files.pixel_depth`); a palette becomes gray if all its colors are, else RGB; CMYK and other color spaces become
RGB; transparent pixels are blended with white; of several frames the first is read; the EXIF orientation is applied.

HEIC is read by pi-heif, which is an extra (`docs/decisions/0023-heic-is-an-extra.md`), and refused by name without it;
its rotation is that of the container, as the format says, and the EXIF orientation repeats it. DICOM is refused because
its window decides what is visible.
"""

from __future__ import annotations

import importlib
import io
import math
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from ml.data.files import fast_images, pixel_depth
from ml.errors import InputError

_FORMATS: Final = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES: Final = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm"),
        *(".pnm", ".heic", ".heif", ".avif"),
    }
)
MAX_PIXELS: Final = 25_000_000

_FORMAT_NAMES = "PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, HEIC, PGM or PPM"
#: HEIC is not among them: its primary image is read, and others are thumbnails or photos of a burst.
_MULTI_FRAME_FORMATS = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
_ORIENTATION = 0x0112
#: Suffixes of image files that are not read -> the code of the issue.
UNSUPPORTED_SUFFIXES: Final = {**dict.fromkeys((".dcm", ".dicom"), "image_dicom")}
#: Bytes at the beginning of a file that say what it is.
_START_BYTES: Final = 132
#: Images of fewer than 6 x 6 pixels are no such list: it may be one of measurements.
_PIXEL_LIST: Final = re.compile(r"\[?\s*\d{1,3}(?:[\s,]+\d{1,3}){35,}\s*\]?")
_DIGITS: Final = re.compile(r"\d+")
#: Bytes that mark a DICOM file, and where.
_DICOM: Final = (b"DICM", 128)
#: Brands of HEIC and AVIF files (ISO/IEC 23008-12), after the type of the first box; `mif1` and `msf1` may be both.
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_UNSUPPORTED: Final = {
    "image_heic": (
        "HEIC images are read by pi-heif, which is not installed",
        "Install the extra heic where the image is read, or convert the image to JPEG: `heif-convert image.heic "
        "image.jpg`, or `sips -s format jpeg` on macOS.",
    ),
    "image_dicom": (
        "DICOM images are not read, since their window decides what is visible",
        "Apply the window you mean, and save it as PNG: `dcmj2pnm +on +Wi 1 image.dcm image.png`.",
    ),
}


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
    #: Bits of the gray values before they were reduced to 8; None if they were not.
    bits: int | None = None


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode to read-only uint8 [H, W, C], C of 1 or 3.

    Raises `UnreadableImage`, an `InputError`.
    """
    plain_pixels = fast_images.read(data, max_pixels=max_pixels)
    return _read_slowly(data, max_pixels=max_pixels).pixels if plain_pixels is None else plain_pixels


def parse_pixels(cell: str) -> np.ndarray | None:
    """Return the square image in a list of pixels, uint8 [H, W, 1].

    FER2013 is published so: `70 80 82 72`. Returns None for any other text.
    """
    if not _PIXEL_LIST.fullmatch(cell.strip()):
        return None
    values = np.array(_DIGITS.findall(cell), dtype=np.int64)
    side = math.isqrt(len(values))
    if side * side != len(values) or values.max() > np.iinfo(np.uint8).max:
        return None
    return values.astype(np.uint8).reshape(side, side, 1)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 [H, W, C], C of 1 or 3, as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


#: First bytes of a JPEG file.
_JPEG: Final = b"\xff\xd8\xff"
#: Quality of the JPEG files that `reduce` writes; the loss is below that of the reduction.
_REDUCED_QUALITY: Final = 92
#: Divisors of width and height that a JPEG decoder applies before the inverse transform.
_DIVISORS: Final = (2, 4, 8)


def read_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height after rotation, from the header alone; None if `decode` would fail."""
    try:
        with _open(data) as image:
            width, height = image.size
            is_sideways = image.getexif().get(_ORIENTATION, 1) >= 5
    except MemoryError:
        raise
    except Exception:  # see `read`
        return None
    return (height, width) if is_sideways else (width, height)


def looks_like_image(start: bytes) -> bool:
    """Return whether the first bytes, at least 12, are those of a supported image."""
    return (
        start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*"))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (len(start) > 2 and start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace())
        or _is_avif(start)
        or (_is_heic(start) and _load_heif())
    )


def _open(data: bytes) -> Image.Image:
    """Open an image in the one of the formats above that its first bytes name."""
    start = data[:_START_BYTES]
    formats: tuple[str, ...] = _FORMATS
    if _is_avif(start):
        formats = ("AVIF",)
    elif _is_heic(start) and _load_heif():
        formats = ("HEIF",)
    return Image.open(io.BytesIO(data), formats=formats)


def _brands(start: bytes) -> frozenset[bytes]:
    """Return the brands of an ISO base media file.

    They are the major one, and the compatible ones that `start` has.
    """
    if start[4:8] != b"ftyp":
        return frozenset()
    end = min(len(start), int.from_bytes(start[:4], "big"))
    return frozenset({start[8:12], *(start[place : place + 4] for place in range(16, end - 3, 4))})


def _is_avif(start: bytes) -> bool:
    return not _AVIF_BRANDS.isdisjoint(_brands(start))


def _is_heic(start: bytes) -> bool:
    return not _HEIC_BRANDS.isdisjoint(_brands(start)) and not _is_avif(start)


@cache
def _load_heif() -> bool:
    """Register HEIC with Pillow; returns False where pi-heif is not installed."""
    try:
        # By name: exported folders contain this code, and do without the extra.
        pi_heif = importlib.import_module("pi_heif")
    except ImportError:
        return False
    # Other images of the file, such as depth maps, are never read. One thread, as for other formats.
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


def find_unsupported(start: bytes) -> str | None:
    """Return the issue code of an image that is not read; None for others.

    `start` is the first 132 bytes of its file.
    """
    magic, position = _DICOM
    if start[position : position + len(magic)] == magic:
        return "image_dicom"
    return "image_heic" if _is_heic(start) and not _load_heif() else None


def read(data: bytes, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode like `decode`, and list the repairs.

    The header is checked before any pixel is unpacked.
    """
    plain_pixels = fast_images.read(data, max_pixels=max_pixels)
    return _read_slowly(data, max_pixels=max_pixels) if plain_pixels is None else DecodedImage(plain_pixels, ())


def _read_slowly(data: bytes, *, max_pixels: int) -> DecodedImage:
    code = find_unsupported(data[:_START_BYTES])
    if code is not None:
        message, hint = _UNSUPPORTED[code]
        raise UnreadableImage(code, message, hint=hint)
    if not looks_like_image(data[:_START_BYTES]):
        raise UnreadableImage(
            "image_unknown_format", "the file is not an image", hint=f"Send {_FORMAT_NAMES}, as a whole file."
        )
    try:
        with _open(data) as image:
            width, height = image.size
            if width * height <= max_pixels:
                return _unpack(image, data)
    except MemoryError:
        raise
    except Exception as error:  # Exceptions that Pillow raises for malformed files have no common base.
        raise _to_unreadable(error) from error
    raise UnreadableImage(
        "image_too_large",
        f"the image has {width} x {height} pixels (limit {max_pixels:,} in all)",
        hint="Make the image smaller.",
    )


def decode_small(data: bytes, *, min_side: int) -> np.ndarray:
    """Decode at a reduced size, where that is faster, to uint8 [H, W, C].

    Both sides have at least `min_side` pixels, unless the image is smaller. Raises `UnreadableImage`.
    """
    if not data.startswith(_JPEG):
        return decode(data)
    try:
        with _open(data) as image:
            image.draft(image.mode, (min_side, min_side))
            return _unpack(image, data).pixels
    except MemoryError:
        raise
    except Exception as error:  # see `read`
        raise _to_unreadable(error) from error


def reduce(data: bytes, *, max_side: int, max_pixels: int = MAX_PIXELS) -> tuple[bytes, DecodedImage] | None:
    """Read a large JPEG, HEIC or AVIF at a fraction of its size.

    Its longer side then has about `max_side` pixels: at most, unless an eighth is still more. Returns the reduced image
    as a JPEG file, with its pixels; None for an image that is small enough, of another format or too large.

    Raises:
        UnreadableImage: The file is damaged.
    """
    is_jpeg = data.startswith(_JPEG)
    if not is_jpeg and not (_brands(data[:_START_BYTES]) and looks_like_image(data[:_START_BYTES])):
        return None
    try:
        with _open(data) as image:
            longer = max(image.size)
            if longer <= max_side or image.width * image.height > max_pixels:
                return None
            divisor = next((divisor for divisor in _DIVISORS if longer <= divisor * max_side), _DIVISORS[-1])
            if is_jpeg:
                image.draft(image.mode, (image.width // divisor, image.height // divisor))
            decoded = _unpack(image, data)
            if not is_jpeg:
                decoded = _shrink(decoded, divisor)
    except MemoryError:
        raise
    except Exception as error:  # see `read`
        raise _to_unreadable(error) from error
    file = io.BytesIO()
    pixels = decoded.pixels
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=_REDUCED_QUALITY)
    # The pixels that a later reading of the file has, so that equal images stay equal.
    return file.getvalue(), replace(decoded, pixels=decode(file.getvalue()))


def _shrink(decoded: DecodedImage, divisor: int) -> DecodedImage:
    """Return means of squares of `divisor` pixels."""
    pixels = decoded.pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).reduce(divisor)
    return replace(decoded, pixels=np.asarray(image).reshape(image.height, image.width, -1))


def _to_unreadable(error: Exception) -> UnreadableImage:
    if isinstance(error, pixel_depth.ValuesOutOfRange):
        return UnreadableImage(
            "image_values", str(error), hint="Map the values that matter to integers from 0 to 65,535, and save again."
        )
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage(
            "image_too_large", "the image is far above the limit on pixels", hint="Make the image smaller."
        )
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return UnreadableImage("image_truncated", "the image file is cut off", hint="Send the whole file again.")
    return UnreadableImage(
        "image_corrupt", "the image cannot be decoded", hint="Open it in an image viewer and save it again."
    )


def _unpack(image: Image.Image, data: bytes) -> DecodedImage:
    repairs: list[str] = []
    bits = None
    if image.format in _MULTI_FRAME_FORMATS and getattr(image, "n_frames", 1) > 1:
        repairs.append("image_frames")
        image.seek(0)
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        image, bits = _reduce_depth(image, data, repairs)
    elif "transparency" in image.info:
        _scale_transparency(image, data)
    if image.mode not in ("L", "RGB") or "transparency" in image.info:
        image = _convert(image, repairs)
    if ("exif" in image.info or "xmp" in image.info) and image.getexif().get(_ORIENTATION, 1) != 1:
        repairs.append("image_rotated")
        image = ImageOps.exif_transpose(image)
    # Equal to `np.asarray(image)`, in half the time for a small image.
    pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)
    return DecodedImage(pixels, tuple(repairs), bits)


def _convert(image: Image.Image, repairs: list[str]) -> Image.Image:
    """Convert to mode L or RGB, and add the conversions that lose information to `repairs`."""
    if image.has_transparency_data:
        return _blend_with_white(image, repairs)
    if image.mode == "1" or (image.mode == "P" and _has_gray_palette(image)):
        return image.convert("L")
    if image.mode not in ("P", "RGBX"):
        repairs.append("image_color_space")
    return image.convert("RGB")


def _blend_with_white(image: Image.Image, repairs: list[str]) -> Image.Image:
    is_gray = image.mode in ("L", "LA", "1") or (image.mode in ("P", "PA") and _has_gray_palette(image))
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] != 255:
        repairs.append("image_transparent")
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return rgba.convert("L" if is_gray else "RGB")


def _has_gray_palette(image: Image.Image) -> bool:
    red, green, blue = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3).T
    return bool((red == green).all() and (green == blue).all())


def _reduce_depth(image: Image.Image, data: bytes, repairs: list[str]) -> tuple[Image.Image, int]:
    """Reduce gray values of more than 8 bits, and return their bits.

    A transparent value becomes white.
    """
    values = np.asarray(image)
    pixels, bits, is_narrow = pixel_depth.reduce_to_8_bits(values, pixel_depth.read_depth(image, data))
    repairs.append("image_16_bit")
    info = dict(image.info)
    transparent = info.pop("transparency", None)
    if isinstance(transparent, int) and (values == transparent).any():
        repairs.append("image_transparent")
        pixels[values == transparent] = 255
    if is_narrow:
        repairs.append("image_range_narrow")
    reduced = Image.fromarray(pixels)
    reduced.info.update(info)
    return reduced, bits


def _scale_transparency(image: Image.Image, data: bytes) -> None:
    """Scale the transparent color of a PNG as its pixels are.

    Pillow leaves it in the bits of the file.
    """
    depth, color = pixel_depth.png_bit_depth(data), image.info["transparency"]
    if depth in (2, 4) and isinstance(color, int) and image.mode == "L":
        image.info["transparency"] = color * 255 // ((1 << depth) - 1)
    elif depth == 16 and isinstance(color, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in color)
