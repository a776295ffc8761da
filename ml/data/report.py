"""Report of one import: everything that is wrong, and the summary of the dataset."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ml.config import Config
from ml.data.dataset import DatasetSummary
from ml.data.first_rows import FirstRows
from ml.data.issue_catalog import Severity


class ReportEntry(Config):
    """All issues of one code: `count` of them, the first few in `sample`."""

    code: str
    count: int
    severity: Severity
    hint: str
    #: `file, line, row, column, found, expected`, those that are known.
    sample: list[dict[str, Any]]


class Suggestion(Config):
    """A fact about the import, or a next step."""

    message: str


class Guess(Config):
    """Detected format, columns and task. `columns`: canonical column -> column of the file."""

    format: str
    columns: dict[str, str | int] = Field(default_factory=dict)
    task: str | None = None
    #: File -> quoting of delimited text in which quotes occur, in words.
    quoting: dict[str, str] = Field(default_factory=dict)


class ImportReport(Config):
    """Result of one import, with all issues at once.

    The upload has `rows` rows: `accepted` are in the dataset, `repaired` were changed or removed to repair the data,
    `rejected` cannot be read.
    """

    state: Literal["ready", "rejected"]
    rows: int
    accepted: int
    repaired: int
    rejected: int
    errors: list[ReportEntry]
    #: Split -> number of rows; `summary` has them by class.
    splits: dict[str, int]
    classes: list[str] | None
    suggestions: list[Suggestion]
    guess: Guess | None
    #: Beginning of the first table; None for data that is no table.
    first_rows: FirstRows | None = None
    #: What was read and what was not, in one line.
    reading: str = ""
    #: License that the upload states: an SPDX identifier, or free text.
    license: str | None = None
    #: Summary of the dataset that was written; None if the upload was rejected.
    summary: DatasetSummary | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return self.model_dump(mode="json")
