"""What a format promises: it knows its files by their content and reads them in batches, each row with its place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

ROWS_PER_BATCH = 2048
BYTES_PER_BATCH = 32 << 20
HARDLY = 0.1
"""How likely what nobody else would read is for the format that tells so."""


@dataclass(frozen=True, slots=True)
class Locations:
    """Where the rows of a batch were found: in one file, by number, or each in a file of its own.

    They stay in memory until the end of the import, so numbers are no lists.
    """

    files: str | Sequence[str]
    rows: range | np.ndarray | None = None
    lines: range | np.ndarray | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Canonical column -> what it is called in the file, where it has columns."""
    column: str | None = None
    """The one that is spoken of, as it is called in the file."""

    def at(self, index: int) -> Location:
        """The place of one row."""
        return Location(
            file=self.files if isinstance(self.files, str) else self.files[index],
            row=None if self.rows is None else int(self.rows[index]),
            line=None if self.lines is None else int(self.lines[index]),
            column=self.column,
        )

    def take(self, indices: Sequence[int] | np.ndarray) -> Locations:
        """The places of some of the rows."""
        if len(indices) == len(self):
            return self
        return replace(
            self,
            files=self.files if isinstance(self.files, str) else [self.files[index] for index in indices],
            rows=None if self.rows is None else np.asarray(self.rows)[indices],
            lines=None if self.lines is None else np.asarray(self.lines)[indices],
        )

    def in_column(self, canonical: str) -> Locations:
        """The same rows, in this column of theirs."""
        return replace(self, column=self.names.get(canonical))

    def __len__(self) -> int:
        return len(self.files if self.rows is None else self.rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows by canonical column.

    Each is a list of N raw values, as `Kind.pack` of its kind takes them, not yet looked at; pictures may be
    uint8 [N, H, W, C] as well. A label is empty where there is none; the column is absent where the files know no
    labels. The first column that is no label is the key: it says whether two rows are the same.
    """

    columns: Mapping[str, Any]
    places: Locations
    split: str | None
    """What the data says; None where it says nothing."""


class Format(ABC):
    """Reads the sources whose content it knows. Whatever is wrong becomes a finding; bad data never raises."""

    name: ClassVar[str]
    summary: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    """The canonical columns it can bring."""
    reads: ClassVar[frozenset[FileContent]]
    splits_itself: ClassVar[str | None] = None
    """How it parts its rows, where no other way would be right; then none can be asked for."""
    takes_columns: ClassVar[bool] = False
    """Whether its files have columns that the user may choose from."""

    def __init__(
        self,
        sources: Sequence[UploadedFile],
        *,
        columns: Mapping[str, str | int],
        wanted: Mapping[str, str] | None = None,
        findings: IssueLog,
        limits: Limits,
    ) -> None:
        self.sources = sources
        self.wanted = wanted
        """The canonical columns of the task that the data is for; None where it was not said."""
        self.asked = columns
        self.findings = findings
        self.limits = limits
        self.guess: dict[str, str | int] = {}
        """Canonical column -> where it was found in the file; known once reading has begun."""

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """How likely the sources are for this format: the share whose content it reads, 0..1, or more for a sure sign.

        0 where it cannot bring what is wanted.
        """
        if wanted is not None and not wanted.items() <= cls.columns.items():
            return 0
        return sum(source.content in cls.reads for source in sources) / len(sources)

    def file_by_file(self, read: Callable[[UploadedFile], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches of each source by itself; where one cannot be read on, that is a finding."""
        for source in self.sources:
            try:
                yield from read(source)
            except DataRejected as refused:
                self.findings.record(refused, at=Location(file=source.name))

    @abstractmethod
    def read(self) -> Iterator[Batch]:
        """Every row that can be read, in an order that depends on the content alone."""
