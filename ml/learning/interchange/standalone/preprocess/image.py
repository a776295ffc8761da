"""A picture is turned upright, laid over white where it is transparent, made grey (1 channel) or RGB (3), and stretched
to width x height (bilinear with antialiasing, as Pillow's resize). Pixels are divided by 255; then `mean` is taken away
and the rest divided by `deviation`, each by channel, where they are given. float32 [batch, channels, height, width].
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "image"
NEEDS = "pillow"


def read(inputs: list[dict[str, Any]], about: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:  # noqa: ARG001
    """`signal`."""
    signal = np.stack([_fitted(pixels(each), about).transpose(2, 0, 1) for each in inputs])
    signal = np.divide(signal, 255, dtype=np.float32)
    if about["mean"] is not None:
        signal -= np.array(about["mean"], dtype=np.float32)[:, None, None]
    if about["deviation"] is not None:
        signal /= np.array(about["deviation"], dtype=np.float32)[:, None, None]
    return {"signal": signal}


def pixels(given: dict[str, Any]) -> np.ndarray:
    """uint8 [H, W, C] of `pixels` (rows of 0 to 255) or of `image` (a file as base64)."""
    if given.get("pixels") is not None:
        array = np.rint(np.array(given["pixels"], dtype=np.float64)).astype(np.uint8)
        return array[:, :, None] if array.ndim == 2 else array
    image: Image.Image = Image.open(io.BytesIO(base64.b64decode(given["image"])))
    orientation = image.getexif()
    found = _plain(image)
    found.info["exif"] = orientation.tobytes() if orientation else b""
    upright = np.asarray(ImageOps.exif_transpose(found) if orientation else found)
    return upright[:, :, None] if upright.ndim == 2 else upright


def encode_png(array: np.ndarray) -> str:
    """uint8 [H, W, C] as base64 of a PNG."""
    file = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def _plain(image: Image.Image) -> Image.Image:
    """As mode L or RGB."""
    grey = image.mode in ("1", "L", "LA", "I;16") or (image.mode in ("P", "PA") and _is_grey(image))
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        over_white = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
        return over_white.convert("L" if grey else "RGB")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L" if grey else "RGB")


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3).T
    return bool((red == green).all() and (green == blue).all())


def _fitted(array: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    width, height, channels = about["width"], about["height"], about["channels"]
    if array.shape == (height, width, channels):
        return array
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    image = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)
