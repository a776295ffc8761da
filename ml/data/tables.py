"""Where in a table the picture and the label stand, and how cells become canonical values. CSV and Parquet share it.

N rows, P pixels of one picture.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import numpy as np

from ml.data.findings import Place, Refused
from ml.data.images import looks_like_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.data.findings import Findings
    from ml.data.formats.base import Places

Cell = TypeVar("Cell")

CellKind = Literal["number", "text", "image", "other"]

_LABEL_NAMES: Final = ("label", "labels", "class", "target", "category", "y", "digit", "class_name", "class_label")
_INDEX_NAME: Final = re.compile(
    r"|index|id|row|idx|(image|img)_?id|unnamed: ?\d+|filename|file_name|path", re.IGNORECASE
)
_PIXEL_NAME: Final = re.compile(r"[a-z ]*[_.\- ]?\d+([x_.\-]\d+)*", re.IGNORECASE)
_SHAPE: Final = re.compile(r"(\d+)x(\d+)(?:x([13]))?")
_FEWEST_PIXELS: Final = 4
_BASE64_START: Final = 16
_HOW: Final = 'a column name or a position from 1; pixels as "first:last"; "shape" as "28x28"'


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One column of a file; `name` is its position where the file names none."""

    name: str
    kind: CellKind


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions from 0. Either `image` or `pixels` is there."""

    label: int | None
    image: int | None
    pixels: tuple[int, ...] = ()
    shape: tuple[int, int, int] = (0, 0, 0)
    shape_assumed: bool = False

    def guess(self, columns: Sequence[CellColumn]) -> dict[str, str | int]:
        """In the words of the request's `columns`."""
        said: dict[str, str | int] = {}
        if self.label is not None:
            said["label"] = columns[self.label].name
        if self.image is not None:
            return {**said, "image": columns[self.image].name}
        height, width, channels = self.shape
        said["image"] = f"{columns[self.pixels[0]].name}:{columns[self.pixels[-1]].name}"
        return {**said, "shape": f"{height}x{width}" if channels == 1 else f"{height}x{width}x{channels}"}


def find_layout(columns: Sequence[CellColumn], asked: Mapping[str, str | int], *, named: bool) -> Layout:
    """What was asked for, and the rest by names, kinds and counts; raises `Refused` where that leads nowhere."""
    unknown = sorted(set(asked) - {"label", "image", "shape"})
    if unknown:
        raise Refused("invalid_columns", found=", ".join(unknown), expected="label, image or shape")
    label = _position(columns, asked["label"]) if "label" in asked else _label_by_name(columns, named=named)
    image = _images(columns, asked["image"]) if "image" in asked else _images_by_kind(columns, label, named=named)
    if label is None and len(image) == 1:
        label = _only_other(columns, image[0])
    if label is None and not named and "image" not in asked:
        label, image = _label_by_count(columns, image)
    if len(image) == 1 and columns[image[0]].kind != "number":
        return Layout(label, image[0])
    if len(image) < _FEWEST_PIXELS:
        raise Refused("no_image_columns", found=", ".join(column.name for column in columns[:20]))
    return _shaped(Layout(label, None, tuple(image)), asked.get("shape"))


def decode_cells(
    cells: Sequence[Cell], places: Places, findings: Findings, *, decode: Callable[[Cell], bytes]
) -> tuple[list[bytes], list[int]]:
    """The encoded pictures of those cells that have one, and their indices; the others become findings."""
    pictures, kept = [], []
    for index, cell in enumerate(cells):
        try:
            pictures.append(decode(cell))
            kept.append(index)
        except Refused as refused:
            findings.record(refused, at=places.at(index), rows=1)
    return pictures, kept


def decode_base64(cell: str) -> bytes:
    """The picture in a cell of base64, with or without `data:image/png;base64,` before it."""
    encoded = cell.partition(",")[2] if cell.startswith("data:") else cell
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise Refused("image_not_encoded", found=cell or "nothing", expected="base64 of a picture")
    return data


def kind_of_texts(cells: Sequence[str]) -> CellKind:
    """What most of some cells are."""
    if any(_holds_image(cell) for cell in cells):
        return "image"
    return "number" if cells and sum(map(is_number, cells)) * 2 > len(cells) else "text"


def is_number(cell: str) -> bool:
    """Whether it reads as one, NaN included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


class PixelReader:
    """Numbers to pictures. The first batch decides for all whether they are 0 to 255 or 0 to 1."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._scale: float | None = None

    def read(
        self, values: np.ndarray, layout: Layout, places: Places, names: Sequence[str]
    ) -> tuple[np.ndarray, list[int]]:
        """uint8 [n, H, W, C] of those of float32 [N, P] that can be, and their indices; the others become findings."""
        if self._scale is None and len(values):
            self._scale = 255.0 if 0 < np.nanmax(values, initial=0) <= 1 else 1.0
        scale = self._scale or 1.0
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            good = finite & (values >= 0) & (values * scale <= 255)
        for row in np.flatnonzero(~good.all(axis=1)):
            cell = int(np.argmin(good[row]))
            code = "pixel_out_of_range" if finite[row, cell] else "pixel_not_a_number"
            at = replace(places.at(int(row)), column=names[layout.pixels[cell]])
            self._findings.add(code, at=at, found=values[row, cell], expected=f"0 to {255 / scale:g}", rows=1)
        kept = np.flatnonzero(good.all(axis=1))
        scaled = values[kept] * np.float32(scale)
        pixels = np.rint(scaled)
        self._note_changes(scaled, pixels, scale, places)
        return pixels.astype(np.uint8).reshape(-1, *layout.shape), kept.tolist()

    def _note_changes(self, scaled: np.ndarray, pixels: np.ndarray, scale: float, places: Places) -> None:
        if not len(pixels):
            return
        file = Place(file=places.at(0).file)
        if scale != 1:
            self._findings.add("pixels_scaled", at=file, count=len(pixels), rows=len(pixels))
        elif rounded := int((scaled != pixels).any(axis=1).sum()):
            self._findings.add("pixels_rounded", at=file, count=rounded, rows=rounded)


def _holds_image(cell: str) -> bool:
    if cell.startswith("data:image/"):
        return True
    try:
        return looks_like_image(base64.b64decode(cell[:_BASE64_START], validate=True))
    except (binascii.Error, ValueError):
        return False


def _position(columns: Sequence[CellColumn], asked: str | int) -> int:
    if isinstance(asked, int) and not isinstance(asked, bool) and 1 <= asked <= len(columns):
        return asked - 1
    names = [column.name for column in columns]
    if isinstance(asked, str) and asked in names:
        return names.index(asked)
    known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise Refused(
        "column_missing", found=f"no column {asked}", expected=f"one of {known}, or a position 1 to {len(names)}"
    )


def _images(columns: Sequence[CellColumn], asked: str | int) -> list[int]:
    if not isinstance(asked, str) or ":" not in asked or asked in [column.name for column in columns]:
        return [_position(columns, asked)]
    first, last = (
        _position(columns, int(end) if end.isdecimal() and end not in [column.name for column in columns] else end)
        for end in map(str.strip, asked.split(":", 1))
    )
    if last < first:
        raise Refused("invalid_columns", found=asked, expected=_HOW)
    return list(range(first, last + 1))


def _label_by_name(columns: Sequence[CellColumn], *, named: bool) -> int | None:
    if not named:
        return None
    names = [column.name.strip().lower() for column in columns]
    return next((names.index(name) for name in _LABEL_NAMES if name in names), None)


def _images_by_kind(columns: Sequence[CellColumn], label: int | None, *, named: bool) -> list[int]:
    others = [index for index in range(len(columns)) if index != label]
    encoded = [index for index in others if columns[index].kind == "image"]
    if encoded:
        return encoded[:1]
    numbers = [index for index in others if columns[index].kind == "number"]
    if not named:
        return numbers
    numbers = [index for index in numbers if not _INDEX_NAME.fullmatch(columns[index].name.strip())]
    pixels = [index for index in numbers if _PIXEL_NAME.fullmatch(columns[index].name.strip())]
    return pixels if len(pixels) >= _FEWEST_PIXELS else numbers


def _only_other(columns: Sequence[CellColumn], image: int) -> int | None:
    others = [
        index
        for index, column in enumerate(columns)
        if index != image and column.kind != "other" and not _INDEX_NAME.fullmatch(column.name.strip())
    ]
    return others[0] if len(others) == 1 else None


def _label_by_count(columns: Sequence[CellColumn], image: list[int]) -> tuple[int | None, list[int]]:
    """Without names: the one text among numbers is the label, or the first column if the others make a picture."""
    texts = [index for index, column in enumerate(columns) if column.kind == "text"]
    if len(image) > 1 and len(texts) == 1:
        return texts[0], image
    if len(image) > _FEWEST_PIXELS and not _picture_shape(len(image)) and _picture_shape(len(image) - 1):
        return image[0], image[1:]
    return None, image


def _shaped(layout: Layout, asked: str | int | None) -> Layout:
    count = len(layout.pixels)
    if asked is None:
        shape = _picture_shape(count)
        if shape is None:
            raise Refused("pixels_not_square", found=f"{count} pixel columns")
        return replace(layout, shape=shape, shape_assumed=shape[2] == 3)
    match = _SHAPE.fullmatch(str(asked).strip().lower())
    if not match or int(match[1]) * int(match[2]) * int(match[3] or 1) != count:
        raise Refused("pixels_not_square", found=f"{count} pixel columns, shape {asked}", expected=_HOW)
    return replace(layout, shape=(int(match[1]), int(match[2]), int(match[3] or 1)))


def _picture_shape(count: int) -> tuple[int, int, int] | None:
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if count >= _FEWEST_PIXELS and side * side * channels == count:
            return side, side, channels
    return None
