"""Where in a table the canonical columns stand, and how cells become raw values. All tables share it.

N rows, P pixels of one picture.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ml.data.column_types import COLUMN_TYPES
from ml.data.files.images import looks_like_image
from ml.data.issues import DataRejected, Location
from ml.data.tables.column_aliases import ALIASES, KIND_OF, NO_COLUMN, TRANSLATION, position_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.formats.base import Locations
    from ml.data.issues import IssueLog

CellKind = Literal["number", "text", "image", "other"]

INSPECTED_ROWS: Final = 20
"""Rows by which the kind of a column is judged."""
MANY: Final = 10
"""Of these, fewer may well differ by chance."""
_PIXEL_NAME: Final = re.compile(r"[a-z ]*[_.\- ]?\d+([x_.\-]\d+)*", re.IGNORECASE)
_SHAPE: Final = re.compile(r"(\d+)x(\d+)(?:x([13]))?")
_FEWEST_PIXELS: Final = 4
_BASE64_START: Final = 16
_LONGEST_USUAL_LABEL: Final = 12
_HOW: Final = 'a column name or a position from 1; pixels as "first:last"; "shape" as "28x28"'


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One column of a file; `name` is its position where the file names none."""

    name: str
    kind: CellKind
    letters: float = 0
    """Mean length of a cell."""
    distinct: bool = False
    """Whether no two of the cells looked at are alike, and these are many: it tells rows apart, and not classes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions from 0, by canonical column. A picture may stand in `pixels` instead."""

    columns: Mapping[str, int] = field(default_factory=dict)
    pixels: tuple[int, ...] = ()
    shape: tuple[int, int, int] = (0, 0, 0)
    shape_assumed: bool = False

    def names(self, columns: Sequence[CellColumn]) -> dict[str, str]:
        """Canonical column -> what the file calls it; pixels are many."""
        return {canonical: columns[index].name for canonical, index in self.columns.items()}

    def guess(self, columns: Sequence[CellColumn]) -> dict[str, str | int]:
        """In the words of the request's `columns`."""
        said: dict[str, str | int] = {**self.names(columns)}
        if not self.pixels:
            return said
        height, width, channels = self.shape
        said["image"] = f"{columns[self.pixels[0]].name}:{columns[self.pixels[-1]].name}"
        return {**said, "shape": f"{height}x{width}" if channels == 1 else f"{height}x{width}x{channels}"}


def find_layout(
    columns: Sequence[CellColumn],
    asked: Mapping[str, str | int],
    *,
    named: bool,
    wanted: Mapping[str, str] | None = None,
) -> Layout:
    """What was asked for, and the rest by names, kinds and counts; raises `DataRejected` where that leads nowhere.

    `wanted` are the canonical columns of the task that the data is for, if that was said.
    """
    unknown = sorted(set(asked) - KIND_OF.keys() - {"shape"})
    if unknown:
        raise DataRejected("invalid_columns", found=", ".join(unknown), expected=", ".join([*KIND_OF, "shape"]))
    if _holds_pictures(columns, asked, named=named, wanted=wanted):
        return _with_pictures(columns, asked, named=named, wanted=wanted or {})
    return _of_texts(columns, asked, named=named, wanted=wanted)


def read_cells(
    cells: Mapping[str, Sequence[Any]], places: Locations, findings: IssueLog
) -> tuple[dict[str, list[Any]], list[int]]:
    """By canonical column the raw values of those rows whose cells all hold one, and the indices of these rows.

    What cannot be read becomes a finding.
    """
    kinds = {column: COLUMN_TYPES[KIND_OF[column]] for column in cells}
    kept: list[int] = []
    values: dict[str, list[Any]] = {column: [] for column in cells}
    for index in range(len(places)):
        row = {}
        for column, each in cells.items():
            try:
                row[column] = kinds[column].from_cell(each[index])
            except DataRejected as refused:
                findings.record(refused, at=places.in_column(column).at(index), rows=1)
                break
        else:
            kept.append(index)
            for column, value in row.items():
                values[column].append(value)
    return values, kept


def are_distinct(cells: Sequence[Any]) -> bool:
    """Whether no two of some cells are alike, and these are many."""
    return len(cells) >= MANY and len(set(map(str, cells))) == len(cells)


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

    def __init__(self, findings: IssueLog) -> None:
        self._findings = findings
        self._scale: float | None = None

    def read(
        self, values: np.ndarray, layout: Layout, places: Locations, names: Sequence[str]
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

    def _note_changes(self, scaled: np.ndarray, pixels: np.ndarray, scale: float, places: Locations) -> None:
        if not len(pixels):
            return
        file = Location(file=places.at(0).file)
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
    raise DataRejected(
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
        raise DataRejected("invalid_columns", found=asked, expected=_HOW)
    return list(range(first, last + 1))


def _holds_pictures(
    columns: Sequence[CellColumn], asked: Mapping[str, str | int], *, named: bool, wanted: Mapping[str, str] | None
) -> bool:
    """Whether a picture is to be looked for: one was asked for, or a cell or so many numbers look like one."""
    if "image" in asked or "shape" in asked or wanted is not None:
        return "image" in asked or "shape" in asked or "image" in (wanted or {})
    if any(column.kind == "image" and not _is_recording(column) for column in columns) or (
        named and position_of("image", _names(columns)) is not None
    ):
        return True
    texts = [column for column in columns if column.kind == "text"]
    if asked.keys() & {"text", "target"} or (named and position_of("text", _names(columns)) is not None):
        return False
    return not texts or sum(column.kind == "number" for column in columns) >= _FEWEST_PIXELS


def _with_pictures(
    columns: Sequence[CellColumn], asked: Mapping[str, str | int], *, named: bool, wanted: Mapping[str, str]
) -> Layout:
    named_too = ("objects",) if _named(columns, "label", asked, named=named) is not None else ("objects", "text")
    others = {
        canonical: place
        for canonical in [*asked, *(wanted or named_too)]
        if canonical not in ("image", "label", "shape")
        if (place := _named(columns, canonical, asked, named=named)) is not None
    }
    label = _named(columns, "label", asked, named=named)
    taken = {*others.values(), label}
    image = _images(columns, asked["image"]) if "image" in asked else _images_by_kind(columns, taken, named=named)
    if label is None and len(image) == 1 and not others:
        label = _only_other(columns, image[0])
    if label is None and not named and "image" not in asked:
        label, image = _label_by_count(columns, image)
    found = {**({} if label is None else {"label": label}), **others}
    missing = [canonical for canonical in wanted if canonical not in (*found, "image")]
    if missing:
        raise _missing(columns, missing)
    if len(image) == 1 and columns[image[0]].kind != "number":
        return Layout({"image": image[0], **found})
    if len(image) < _FEWEST_PIXELS:
        raise DataRejected("no_image_columns", found=", ".join(column.name for column in columns[:20]))
    return _shaped(Layout(found, tuple(image)), asked.get("shape"))


def _of_texts(
    columns: Sequence[CellColumn], asked: Mapping[str, str | int], *, named: bool, wanted: Mapping[str, str] | None
) -> Layout:
    """Columns that were asked for, then those with a known name; then the longest text, and what is left beside it."""
    heard = any(map(_is_recording, columns))
    usual = ("audio", "text", "speaker") if heard else ("text", "target", "label")
    canonicals = [*dict.fromkeys([*(wanted or usual), *asked])]
    found: dict[str, int] = {canonical: _position(columns, asked[canonical]) for canonical in asked}
    for canonical in canonicals:
        place = _named(columns, canonical, {}, named=named)
        if canonical not in found and place is not None and place not in found.values():
            found[canonical] = place
    if "target" in canonicals:
        found |= _of_a_translation(columns, found)
    if "text" in found and "prompt" not in found and (wanted is None or wanted.keys() == {"text"}):
        # What stands before a text and is given, not learned; of use only beside a column that is surely the text.
        place = _named(columns, "prompt", {}, named=named)
        found |= {} if place is None or place in found.values() else {"prompt": place}
    if (
        wanted is None
        and "target" not in asked
        and "target" in found
        and not _reads_like_text(columns[found["target"]])
    ):
        found.setdefault("label", found.pop("target"))
    if "text" in canonicals and "text" not in found:
        texts = _free(columns, found, kind="text")
        if texts:
            both = "target" in (wanted or {}) and "target" not in found
            found["text"] = texts[0] if both else max(texts, key=lambda index: columns[index].letters)
    left = _free(columns, found)
    if "target" in (wanted or {}) and "target" not in found and left:
        found["target"] = left.pop(0)
    if "label" in canonicals and len(left) == 1 and found.keys().isdisjoint({"label", "target", "prompt"}):
        other = columns[left[0]]
        both = wanted is None and other.distinct and _reads_like_text(other)
        found["target" if both else "label"] = left[0]
    missing = [canonical for canonical in wanted or ("text",) if canonical not in found]
    if missing:
        raise _missing(columns, missing)
    # The prompt is the key: two may well have one answer.
    order = dict.fromkeys(["prompt", *canonicals])
    return Layout({canonical: found[canonical] for canonical in order if canonical in found})


def _is_recording(column: CellColumn) -> bool:
    """Whether a column of bytes is called like one of recordings."""
    return column.kind == "image" and column.name.strip().lower() in ALIASES["audio"]


def _of_a_translation(columns: Sequence[CellColumn], found: Mapping[str, int]) -> dict[str, int]:
    """The sides that are still to be found of a text in two languages, in the order of the file."""
    places = [index for index, column in enumerate(columns) if column.name.startswith(f"{TRANSLATION}.")]
    left = [place for place in places if place not in found.values()]
    wanted = [canonical for canonical in ("text", "target") if found.get(canonical) not in places]
    return dict(zip(wanted, left, strict=False)) if len(places) > 1 else {}


def _reads_like_text(column: CellColumn) -> bool:
    """A translation, say, where a class is but a word or a number."""
    return column.kind == "text" and column.letters > _LONGEST_USUAL_LABEL


def _missing(columns: Sequence[CellColumn], missing: Sequence[str]) -> DataRejected:
    found = f"no column for {', '.join(missing)} among {', '.join(column.name for column in columns[:20])}"
    names = "; ".join(f"{canonical}: {', '.join(ALIASES[canonical][:4])}" for canonical in missing)
    return DataRejected("no_columns", found=found, expected=f"a column named like {names}")


def _names(columns: Sequence[CellColumn]) -> list[str]:
    return [column.name.strip().lower() for column in columns]


def _named(columns: Sequence[CellColumn], canonical: str, asked: Mapping[str, str | int], *, named: bool) -> int | None:
    if canonical in asked:
        return _position(columns, asked[canonical])
    return position_of(canonical, _names(columns)) if named else None


def _free(columns: Sequence[CellColumn], found: Mapping[str, int], *, kind: CellKind | None = None) -> list[int]:
    return [
        index
        for index, column in enumerate(columns)
        if index not in found.values() and not NO_COLUMN.fullmatch(column.name.strip())
        if column.kind != "other" and kind in (None, column.kind)
        if not (column.kind == "number" and column.distinct)
    ]


def _images_by_kind(columns: Sequence[CellColumn], taken: set[int | None], *, named: bool) -> list[int]:
    others = [index for index in range(len(columns)) if index not in taken]
    encoded = [index for index in others if columns[index].kind == "image"]
    if encoded:
        return encoded[:1]
    numbers = [index for index in others if columns[index].kind == "number"]
    if not named:
        return numbers
    numbers = [index for index in numbers if not NO_COLUMN.fullmatch(columns[index].name.strip())]
    pixels = [index for index in numbers if _PIXEL_NAME.fullmatch(columns[index].name.strip())]
    return pixels if len(pixels) >= _FEWEST_PIXELS else numbers


def _only_other(columns: Sequence[CellColumn], image: int) -> int | None:
    others = [
        index
        for index, column in enumerate(columns)
        if index != image and column.kind != "other" and not NO_COLUMN.fullmatch(column.name.strip())
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
            raise DataRejected("pixels_not_square", found=f"{count} pixel columns")
        return replace(layout, shape=shape, shape_assumed=shape[2] == 3)
    match = _SHAPE.fullmatch(str(asked).strip().lower())
    if not match or int(match[1]) * int(match[2]) * int(match[3] or 1) != count:
        raise DataRejected("pixels_not_square", found=f"{count} pixel columns, shape {asked}", expected=_HOW)
    return replace(layout, shape=(int(match[1]), int(match[2]), int(match[3] or 1)))


def _picture_shape(count: int) -> tuple[int, int, int] | None:
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if count >= _FEWEST_PIXELS and side * side * channels == count:
            return side, side, channels
    return None
