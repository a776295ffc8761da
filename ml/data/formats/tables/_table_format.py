"""Base class of the formats whose rows are those of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ml.data.formats.base import Format
from ml.data.formats.tables._memberships import Memberships, find_memberships, hide, without_memberships
from ml.data.issues import Location
from ml.data.tables.column_aliases import CANONICAL_COLUMNS, NON_DATA_NAME
from ml.data.tables.column_detection import detect_columns
from ml.data.tables.layout import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.tables.layout import CellColumn, Layout


class TableFormat(Format):
    """Reads the columns that are detected, and reports all others."""

    columns: ClassVar[Mapping[str, str]] = CANONICAL_COLUMNS
    has_columns = True

    def detect_layout(
        self,
        source: UploadedFile,
        columns: Sequence[CellColumn],
        samples: Sequence[Sequence[Any]],
        *,
        has_header: bool,
    ) -> tuple[Layout, Memberships]:
        """Detect the columns to read, and report all others.

        `samples` are the first cells of each column.

        Raises `DataRejected` if a request is invalid, or a required column is missing.
        """
        memberships = find_memberships(columns, samples, self.requested_columns) if has_header else Memberships()
        requested = without_memberships(self.requested_columns)
        layout = detect_columns(
            hide(columns, memberships), requested, has_header=has_header, required=self.required_columns
        )
        names = memberships.names(columns)
        self.detected_columns = self.detected_columns or {**layout.to_request(columns), **names}
        self.report_layout(source, layout, columns, members=names)
        return layout, memberships

    def report_layout(
        self, source: UploadedFile, layout: Layout, columns: Sequence[CellColumn], *, members: Mapping[str, str]
    ) -> None:
        """Report guesses about the columns of a file, and columns that are not read."""
        at = Location(file=source.name)
        if layout.is_shape_assumed:
            self.issues.add("pixels_shape_assumed", at=at, actual=f"{len(layout.pixels)} columns")
        names = layout.names(columns)
        read_line = ", ".join(f"{canonical} = {name}" for canonical, name in {**names, **members}.items())
        read_line = read_line or "the image"
        unread = [name for name in layout.unread(columns) if name not in members.values()]
        if layout.is_text_guessed:
            self.issues.add("text_column_guessed", at=at, actual=f"text = {names['text']}")
        if layout.is_label_guessed:
            target = "value" if "value" in names else "label"
            others = ", ".join(columns[index].name for index in layout.other_labels)
            self.issues.add(
                "label_column_guessed",
                at=at,
                actual=f"{target} = {names[target]}",
                expected=f"or {others}" if others else None,
            )
        if any(
            len(layout.positions_of(canonical)) > 1 and canonical not in ("prompt", FEATURES) for canonical in names
        ):
            self.issues.add("columns_joined", at=at, actual=read_line)
        for name in unread:
            at = Location(file=source.name, column=name)
            # Columns that number the rows bring nothing to learn.
            code = "details_not_read" if NON_DATA_NAME.fullmatch(name.strip()) else "fields_not_read"
            self.issues.add(
                code, at=at, actual=f"not read: {name or 'a column without a name'}", expected=f"read: {read_line}"
            )
