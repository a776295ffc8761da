"""Base class of the formats whose rows are those of a table."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.first_rows import FirstRows
from ml.data.formats.base import Format
from ml.data.formats.tables._chat_texts import ChatTexts
from ml.data.formats.tables._choices import find_choices
from ml.data.formats.tables._memberships import Memberships, find_memberships, hide, without_memberships
from ml.data.issues import DataRejected, Location
from ml.data.tables.column_aliases import CANONICAL_COLUMNS, NON_DATA_NAME
from ml.data.tables.column_detection import detect_columns
from ml.data.tables.layout import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.formats.base import Batch
    from ml.data.tables.layout import CellColumn, Layout


#: Columns beside those that are learned from whose cells are compared with the label.
_MAX_COMPARED_COLUMNS: Final = 10


class TableFormat(Format):
    """Reads the columns that are detected, and reports all others."""

    columns: ClassVar[Mapping[str, str]] = CANONICAL_COLUMNS
    has_columns = True
    column_choices = tuple(CANONICAL_COLUMNS)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: Names of columns -> their layout: files with the same columns are read alike.
        self._layouts: dict[tuple[str, ...], tuple[Layout, Memberships]] = {}
        #: File -> conversations in its texts.
        self._chats: dict[str, ChatTexts] = {}
        #: Columns of the files without which a row cannot be learned from.
        self._essential_columns: frozenset[str] = frozenset()

    @abstractmethod
    def column_names(self, source: UploadedFile) -> list[str] | None:
        """Return the names of the columns of a file; None if it has none.

        Raises `DataRejected` if the file cannot be read.
        """

    def read_files(self, read_file: Callable[[UploadedFile], Iterator[Batch]]) -> Iterator[Batch]:
        """Yield the batches of one source after another.

        A file without a column that another one has and that is learned from, as a test file without its target, is
        reported and left out.
        """
        names = {source.name: self._names_of(source) for source in self.sources} if len(self.sources) > 1 else {}
        widest: set[str] = max(names.values(), key=len, default=set())
        narrow = [source for source in self.sources if names.get(source.name, widest) < widest and names[source.name]]
        self.sources = [source for source in self.sources if source not in narrow]
        yield from self._divide_chats(super().read_files(read_file))
        for source in narrow:
            missing = [name for name in self._essential_columns if name not in names[source.name]]
            if missing:
                self.issues.add(
                    "file_without_target",
                    at=Location(file=source.name),
                    actual=f"no column {', '.join(sorted(missing))}",
                )
        self.sources = [source for source in narrow if self._essential_columns <= names[source.name]]
        yield from self._divide_chats(super().read_files(read_file))

    def _divide_chats(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield a row per turn of the assistant, where texts are conversations."""
        for batch in batches:
            chat = self._chats.get(batch.locations.files) if isinstance(batch.locations.files, str) else None
            yield batch if chat is None else chat.divide(batch, self.issues)

    def _names_of(self, source: UploadedFile) -> set[str]:
        try:
            return set(self.column_names(source) or ())
        except DataRejected:
            return set()

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
        column_names = tuple(column.name for column in columns)
        if has_header and column_names in self._layouts:
            layout, memberships = self._layouts[column_names]
            self._find_chats(source, layout, samples)
            return layout, memberships
        self.first_rows = self.first_rows or FirstRows.of(source.name, column_names, zip_longest(*samples))
        memberships = find_memberships(columns, samples, self.requested_columns) if has_header else Memberships()
        requested = without_memberships(self.requested_columns)
        layout = self._find_choices(columns, samples, requested, has_header=has_header) or detect_columns(
            hide(columns, memberships), requested, has_header=has_header, required=self.required_columns
        )
        names = memberships.names(columns)
        self.detected_columns = self.detected_columns or {**layout.to_request(columns), **names}
        self.report_layout(source, layout, columns, members=names)
        memberships = replace(memberships, unread=_columns_to_compare(layout, memberships, columns))
        self._layouts[column_names] = layout, memberships
        self._find_chats(source, layout, samples)
        positions = [index for name in layout.columns if name != FEATURES for index in layout.positions_of(name)]
        essential = [columns[index].name for index in positions]
        self._essential_columns = self._essential_columns or frozenset(essential)
        return layout, memberships

    def _find_chats(self, source: UploadedFile, layout: Layout, samples: Sequence[Sequence[Any]]) -> None:
        """Find and report conversations in the texts of a file.

        A text that the user names is read whole.
        """
        if "text" in self.requested_columns:
            return
        chat = ChatTexts.find(layout, samples, self.required_columns)
        if chat is not None:
            self._chats[source.name] = chat
            at = Location(file=source.name)
            self.issues.add("chats_in_texts", at=at, actual=f"conversations with {chat.markup.name}")

    def _find_choices(
        self,
        columns: Sequence[CellColumn],
        samples: Sequence[Sequence[Any]],
        requested: Mapping[str, str | int],
        *,
        has_header: bool,
    ) -> Layout | None:
        """Return the layout of questions with choices, unless the user names other columns."""
        choices = find_choices(columns, samples, has_header=has_header, required=self.required_columns)
        layout = choices and choices.layout()
        return layout if layout and (not requested or requested == layout.names(columns)) else None

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
        if layout.choices is not None:
            expected = layout.choices.numbering
            self.issues.add("choices_written_out", at=at, actual=read_line, expected=expected)
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


def _columns_to_compare(layout: Layout, memberships: Memberships, columns: Sequence[CellColumn]) -> dict[int, str]:
    """Return position -> name of columns that are not read.

    They are compared with the label, so there are none without one.
    """
    if "label" not in layout.columns:
        return {}
    used = {*layout.cell_positions, *layout.pixels, *memberships.positions}
    names = [column.name for column in columns]
    unread = [
        (index, column.name)
        for index, column in enumerate(columns)
        if index not in used and column.kind in ("text", "number") and names.count(column.name) == 1
    ]
    return dict(unread[:_MAX_COMPARED_COLUMNS])
