"""What an import answers: everything that was found, at once."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ml.config import Config
from ml.data.dataset import DatasetSummary
from ml.data.issue_catalog import Severity


class ReportEntry(Config):
    """All findings of one code; `count` is all of them, `sample` the first few."""

    code: str
    count: int
    severity: Severity
    hint: str
    sample: list[dict[str, Any]]
    """`file, line, row, column, found, expected`, as far as known."""


class Suggestion(Config):
    """What to know or do next."""

    message: str


class Guess(Config):
    """How the files were understood. `columns`: canonical column -> where it was found in the file."""

    format: str
    columns: dict[str, str | int] = Field(default_factory=dict)
    task: str | None = None


class ImportReport(Config):
    """All that was found, at once.

    `rows` were seen; `accepted` are in the dataset, `repaired` were changed or removed to mend it, `rejected` cannot be
    read.
    """

    state: Literal["ready", "rejected"]
    rows: int
    accepted: int
    repaired: int
    rejected: int
    errors: list[ReportEntry]
    splits: dict[str, int]
    """Rows by split; by class in `summary`."""
    classes: list[str] | None
    suggestions: list[Suggestion]
    guess: Guess | None
    summary: DatasetSummary | None
    """Of the dataset that was written; None when rejected."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json")
