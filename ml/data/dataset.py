"""A dataset on disk: one Arrow file a split, and what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ml.config import Config

if TYPE_CHECKING:
    from ml.data.rows import Rows

SPLITS = ("train", "validation", "test")

Kind = Literal["image", "label", "text"]
"""What the values of a canonical column are."""


class DatasetSummary(Config):
    """`dataset.json`: all that can be known of a dataset without reading its rows."""

    format_version: int = 1
    format: str
    task: str | None = None
    columns: dict[str, Kind]
    splits: dict[str, int]
    """Rows by split."""
    classes: list[str] | None = None
    """In natural order: 2 before 10."""
    class_counts: dict[str, dict[str, int]] = {}
    """Split -> class -> rows."""
    image: dict[str, Any] | None = None
    """`{"channels", "min_height", "max_height", "min_width", "max_width"}`."""
    digest: str = ""
    """sha256 over the canonical rows, split by split."""


class Dataset:
    """A validated dataset, open for reading."""

    def __init__(self, directory: Path, summary: DatasetSummary) -> None:
        self.directory = directory
        self.summary = summary

    @classmethod
    def open(cls, directory: Path) -> Dataset:
        """Raises `DataError` where the folder holds no dataset that this version reads."""
        raise NotImplementedError

    def rows(self, split: str) -> Rows:
        """The rows of one split; a split that is not there is empty."""
        raise NotImplementedError
