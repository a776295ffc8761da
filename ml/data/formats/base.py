"""Base class of formats: detection of files by their content, and reading in batches.

N rows of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.data.issues import DataRejected, Location
from ml.data.tables.dialects import DELIMITERS, detect_dialect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.first_rows import FirstRows
    from ml.data.issues import IssueLog
    from ml.data.item_table import ItemTable
    from ml.data.limits import Limits
    from ml.data.locations import Locations
    from ml.data.tables.records import Dialect

ROWS_PER_BATCH: Final = 2048
BYTES_PER_BATCH: Final = 32 << 20
#: Likelihood of a format that reads such files only to report what is wrong with them, if no other format does.
UNLIKELY: Final = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """N rows by canonical column, with their locations.

    Each column is a sequence of N raw values, as `ColumnType.pack` of its type accepts them, not checked yet; images
    may be uint8 [N, H, W, C] as well. A label is empty for a row without one; the column is absent from files without
    labels. The first column that is not the label is the key: rows with equal keys are copies.
    """

    columns: Mapping[str, Any]
    locations: Locations
    #: The split that the data names; None if it names none.
    split: str | None
    #: Number of what each row belongs to, unique within the file of the batch, or within the upload if rows have a file
    #: each; rows with one number stay in one split.
    groups: Sequence[int] | None = None
    #: Hash of the content of what each row was cut from, the same in every upload, uint64 [N]; 0 for a row of its own.
    #: Rows with one hash stay in one split.
    parents: np.ndarray | None = None
    #: Name of what each row is about (a patient, a speaker), "" for none; rows with one name stay in one split if there
    #: are many names.
    #: Stored rows have uint64 [N], the hashes of these names.
    subjects: Sequence[str] | np.ndarray | None = None
    #: Name of the column of subjects.
    subject_name: str = ""
    #: Cells of columns that are not learned from, by their names in the file.
    unread: Mapping[str, Sequence[Any]] | None = None
    #: Locations in the uploads that stored rows came from; None for those of `locations`.
    origins: Locations | None = None
    #: Columns that a row may lack: its value there is None. Rows with such columns are copies if all values are equal.
    optional: frozenset[str] = frozenset()


class Format(ABC):
    """Reads files whose content it recognizes. Every fault becomes an issue; bad data never raises."""

    name: ClassVar[str]
    summary: ClassVar[str]
    #: Canonical columns it can bring -> their column type.
    columns: ClassVar[Mapping[str, str]]
    accepted_content: ClassVar[frozenset[FileContent]]
    #: How it splits its rows, for a format with only one valid way; users cannot choose another.
    split_rule: ClassVar[str | None] = None
    #: Whether its files have columns that the user may choose from.
    has_columns: ClassVar[bool] = False
    #: Canonical names that users may give to columns.
    column_choices: ClassVar[tuple[str, ...]] = ()
    #: Whether its files may be delimited text, whose quoting the user may name.
    has_quoting: ClassVar[bool] = False
    #: Whether subtitles, web pages and XML, which it would read line by line, are refused.
    refuses_markup: ClassVar[bool] = False

    def __init__(
        self,
        sources: Sequence[UploadedFile],
        *,
        columns: Mapping[str, str | int],
        required: Mapping[str, str] | None = None,
        quoting: str | None = None,
        issues: IssueLog,
        limits: Limits,
    ) -> None:
        """Prepare to read.

        Args:
            sources: Files whose content is in `accepted_content`.
            columns: Canonical column -> the name or position from 1 that the user chose.
            required: Canonical columns of the task that the data is for, with their types; None if no task was named.
            quoting: Quoting of delimited text that the user names; None to detect it.
            issues: Receives every fault.
            limits: Bounds on the import.
        """
        self.sources = sources
        self.required_columns = required
        self.requested_columns = columns
        self.requested_quoting = quoting
        self.issues = issues
        self.limits = limits
        #: Canonical column -> the file's column that was detected for it; empty until reading begins.
        self.detected_columns: dict[str, str | int] = {}
        #: Beginning of the first table; None until reading begins.
        self.first_rows: FirstRows | None = None
        #: File -> quoting of the delimited texts in which quotes occur, in words.
        self.detected_quoting: dict[str, str] = {}
        #: Table of the items that the rows name; None without one, and until all rows are read.
        self.item_table: ItemTable | None = None
        #: Items of rows and table that lack the other, as fields of `ItemTableSummary`.
        self.item_counts: dict[str, int] = {}
        self._dialects: dict[str, Dialect] = {}

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return how likely the sources are of this format.

        The result is 0 to 1, or more for a sure sign. By default it is the fraction of sources whose content it
        accepts, and 0 if it cannot bring the required columns.
        """
        if required is not None and not required.items() <= cls.columns.items():
            return 0
        return sum(source.content in cls.accepted_content for source in sources) / len(sources)

    def read_files(self, read_file: Callable[[UploadedFile], Iterator[Batch]]) -> Iterator[Batch]:
        """Yield the batches of one source after another.

        A rejected source becomes an issue.
        """
        for source in self.sources:
            try:
                yield from read_file(source)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=source.name))

    def detect_dialect(
        self, file: str, open_lines: Callable[[], Iterator[str]], *, delimiters: Sequence[str] = DELIMITERS
    ) -> Dialect:
        """Return delimiter and quoting of delimited text, by all of its lines.

        An ambiguous quoting becomes an issue. Raises `DataRejected` if the requested one is unknown.
        """
        if file not in self._dialects:
            detected = detect_dialect(open_lines, quoting=self.requested_quoting, delimiters=delimiters)
            self._dialects[file] = detected.dialect
            if detected.evidence != "none":
                self.detected_quoting[file] = detected.describe()
            if detected.evidence == "ambiguous":
                self.issues.add("quoting_guessed", at=Location(file=file), actual=detected.describe())
        return self._dialects[file]

    @abstractmethod
    def read(self) -> Iterator[Batch]:
        """Yield every readable row, in an order that depends on the content alone."""
