"""Rows of a stored dataset that an issue is about, in full.

The report of an import shows a few rows of each issue. Beside the dataset, `finding.<code>.json` lists all of them by
split and index, so that one can open them, and operations can name them by the code of the issue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from ml.config import Config
from ml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class RowPosition(Config):
    """Position of a row in a stored dataset; `index` counts from 0 within the split."""

    split: str
    index: int


class StoredFlag(RowPosition):
    """Row that an issue is about."""

    #: File and row (from 1) of the upload.
    file: str | None = None
    row: int | None = None
    #: The row that it resembles.
    twin: RowPosition | None = None
    #: The class that it has.
    given_label: str | None = None
    #: The class that it probably has, and its probability.
    label: str | None = None
    probability: float | None = None


_FLAGS: TypeAdapter[list[StoredFlag]] = TypeAdapter(list[StoredFlag])


def file_name(code: str) -> str:
    """Return the name of the file that lists the rows of an issue."""
    return f"finding.{code}.json"


def write_flagged_rows(directory: Path, flagged_rows: Mapping[str, Sequence[StoredFlag]]) -> None:
    """Write one file for each issue code."""
    for code, rows in flagged_rows.items():
        (directory / file_name(code)).write_bytes(_FLAGS.dump_json(list(rows), exclude_none=True))


def parse_flagged_rows(content: bytes) -> list[StoredFlag]:
    """Parse the content of a file; raises `DataError` if it is damaged."""
    try:
        return _FLAGS.validate_json(content)
    except ValidationError as error:
        raise DataError("the list of rows is damaged", hint="Import the data again.") from error


def read_flagged_rows(directory: Path, code: str) -> list[StoredFlag]:
    """Return the rows of an issue, empty if the dataset lists none for it."""
    try:
        return parse_flagged_rows((directory / file_name(code)).read_bytes())
    except FileNotFoundError:
        return []
