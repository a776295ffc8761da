"""Base class of the formats whose rows are those of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ml.data.formats.base import Format
from ml.data.issues import Location
from ml.data.tables.column_aliases import CANONICAL_COLUMNS
from ml.data.tables.layout import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.tables.layout import CellColumn, Layout


class TableFormat(Format):
    """Reads the columns that are detected, and reports all others."""

    columns: ClassVar[Mapping[str, str]] = CANONICAL_COLUMNS
    has_columns = True

    def report_layout(self, source: UploadedFile, layout: Layout, columns: Sequence[CellColumn]) -> None:
        """Report guesses about the columns of a file, and columns that are not read."""
        at = Location(file=source.name)
        if layout.is_shape_assumed:
            self.issues.add("pixels_shape_assumed", at=at, actual=f"{len(layout.pixels)} columns")
        names = layout.names(columns)
        read = ", ".join(f"{canonical} = {name}" for canonical, name in names.items()) or "the image"
        if layout.is_text_guessed:
            self.issues.add("text_column_guessed", at=at, actual=f"text = {names['text']}")
        if layout.is_label_guessed:
            self.issues.add("label_column_guessed", at=at, actual=f"label = {names['label']}")
        if any(
            len(layout.positions_of(canonical)) > 1 and canonical not in ("prompt", FEATURES) for canonical in names
        ):
            self.issues.add("columns_joined", at=at, actual=read)
        for name in layout.unread(columns):
            at = Location(file=source.name, column=name)
            self.issues.add("fields_not_read", at=at, actual=f"not read: {name}", expected=f"read: {read}")
