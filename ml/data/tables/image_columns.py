"""Detection of the image and of the columns beside it in a table of images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ml.data.issues import DataRejected
from ml.data.tables.column_aliases import ALIASES, NON_DATA_NAME
from ml.data.tables.layout import MAX_LISTED_NAMES, CellColumn, ColumnQuery, Layout
from ml.data.tables.pixels import MIN_PIXELS, REQUEST_HELP, infer_shape, with_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Fewer numbers without names of pixels are measurements: published lists of such pixels start at 8x8.
MIN_UNNAMED_PIXELS: Final = 36
#: A name with a number, as columns of one kind have.
_NUMBERED_NAME: Final = re.compile(r"[a-z ]*[_.\- ]?\d+([x_.\-]\d+)*", re.IGNORECASE)
#: A name that says that its column is a pixel: pixel0, px_1_2, 28x28.
_PIXEL_NAME: Final = re.compile(r"(pixels?|pix|px)[_.\- ]?\d+([x_.,\-]\d+)*|\d+x\d+(x\d+)?", re.IGNORECASE)


def has_images(query: ColumnQuery) -> bool:
    """Return whether the table has an image to detect.

    One is requested, required by the task, or the columns look like one.
    """
    if "image" in query.requested or "shape" in query.requested:
        return True
    if query.required is not None:
        return "image" in query.required
    columns = query.columns
    if any(column.kind == "image" and not is_audio(column) for column in columns):
        return True
    if query.position_by_alias("image") is not None:
        return True
    if query.requested.keys() & {"text", "target"} or query.position_by_alias("text") is not None:
        return False
    return has_pixels(query)


def has_pixels(query: ColumnQuery) -> bool:
    """Return whether columns of numbers are pixels rather than measurements.

    At least `MIN_PIXELS` have names of pixels; or at least `MIN_UNNAMED_PIXELS` have numbers for names, or none, hold
    whole numbers from 0 to 255 and fit a square image.
    """
    numbers = [column for column in query.columns if column.kind == "number"]
    if not query.has_header:
        label = len(numbers) == len(query.columns) and not infer_shape(len(numbers))
        return _are_unnamed_pixels(numbers[1:] if label else numbers)
    if sum(bool(_PIXEL_NAME.fullmatch(column.name.strip())) for column in numbers) >= MIN_PIXELS:
        return True
    return _are_unnamed_pixels([column for column in numbers if _NUMBERED_NAME.fullmatch(column.name.strip())])


def _are_unnamed_pixels(columns: Sequence[CellColumn]) -> bool:
    count = len(columns)
    is_image = count >= MIN_UNNAMED_PIXELS and infer_shape(count) is not None
    return is_image and all(column.holds_pixels for column in columns)


def is_audio(column: CellColumn) -> bool:
    """Return whether a column of bytes has a usual name of an audio column."""
    return column.kind == "image" and column.name.strip().lower() in ALIASES["audio"]


def detect_image_layout(query: ColumnQuery) -> Layout:
    """Assign the image, the label and the other columns of a table of images.

    Raises `DataRejected` if a required column is missing, or if no columns could hold an image.
    """
    label = query.position_of("label")
    companions = _companions(query, has_label=label is not None)
    image = _image_positions(query, {*companions.values(), label})
    if label is None and len(image) == 1 and not companions:
        label = _only_column_beside(query.columns, image[0])
    other_labels: tuple[int, ...] = ()
    if label is None and not query.has_header and "image" not in query.requested:
        label, image, other_labels = _label_by_count(query.columns, image)
    assigned = {**({} if label is None else {"label": label}), **companions}
    query.check_complete([canonical for canonical in query.required or () if canonical != "image"], assigned)
    if len(image) == 1 and query.columns[image[0]].kind != "number":
        return Layout({"image": image[0], **assigned})
    if len(image) < MIN_PIXELS:
        raise DataRejected("no_image_columns", actual=", ".join(query.names[:MAX_LISTED_NAMES]))
    layout = Layout(assigned, tuple(image), is_label_guessed=bool(other_labels), other_labels=other_labels)
    return with_shape(layout, query.requested.get("shape"))


def _companions(query: ColumnQuery, *, has_label: bool) -> dict[str, int]:
    """Assign the columns beside image and label.

    A text is assigned only if it is requested or required, or if there is no label.
    """
    usual = ("objects",) if has_label else ("objects", "text")
    return {
        canonical: position
        for canonical in [*query.requested, *(query.required or usual)]
        if canonical not in ("image", "label", "shape")
        if (position := query.position_of(canonical)) is not None
    }


def _image_positions(query: ColumnQuery, used_positions: set[int | None]) -> list[int]:
    """List the position of the image, or those of its pixels.

    A request has precedence over kinds and names.
    """
    if "image" in query.requested:
        return _requested_range(query, query.requested["image"])
    columns = query.columns
    free = [index for index in range(len(columns)) if index not in used_positions]
    encoded = [index for index in free if columns[index].kind == "image"]
    if encoded:
        return encoded[:1]
    numbers = [index for index in free if columns[index].kind == "number"]
    if not query.has_header:
        return numbers
    numbers = [index for index in numbers if not NON_DATA_NAME.fullmatch(columns[index].name.strip())]
    named = [index for index in numbers if _PIXEL_NAME.fullmatch(columns[index].name.strip())]
    if len(named) >= MIN_PIXELS:
        return named
    pixels = [index for index in numbers if _NUMBERED_NAME.fullmatch(columns[index].name.strip())]
    return pixels if len(pixels) >= MIN_PIXELS else numbers


def _requested_range(query: ColumnQuery, request: str | int) -> list[int]:
    """List the positions of one column, or of a range "first:last" of pixel columns."""
    if not isinstance(request, str) or ":" not in request or request in query.names:
        return [query.position(request)]
    first, last = (
        query.position(int(end) if end.isdecimal() and end not in query.names else end)
        for end in map(str.strip, request.split(":", 1))
    )
    if last < first:
        raise DataRejected("invalid_columns", actual=request, expected=REQUEST_HELP)
    return list(range(first, last + 1))


def _only_column_beside(columns: Sequence[CellColumn], image: int) -> int | None:
    candidates = [
        index
        for index, column in enumerate(columns)
        if index != image and column.kind != "other" and not NON_DATA_NAME.fullmatch(column.name.strip())
    ]
    return candidates[0] if len(candidates) == 1 else None


def _label_by_count(columns: Sequence[CellColumn], image: list[int]) -> tuple[int | None, list[int], tuple[int, ...]]:
    """Detect the label in a file without a header.

    The only text among numbers is the label. Else the first or the last column is, if the number of the others fits an
    image: the one at the edge of images is often constant, and published lists begin with the label.

    Returns:
        The position of the label, those of the pixels, and positions that may be the label as well.
    """
    texts = [index for index, column in enumerate(columns) if column.kind == "text"]
    if len(image) > 1 and len(texts) == 1:
        return texts[0], image, ()
    if len(image) <= MIN_PIXELS or infer_shape(len(image)) or not infer_shape(len(image) - 1):
        return None, image, ()
    first, last = columns[image[0]], columns[image[-1]]
    if first.is_constant and not last.is_constant:
        return image[-1], image[:-1], ()
    is_last_possible = last.repeats_values and not last.is_constant
    return image[0], image[1:], (image[-1],) if is_last_possible else ()
