"""Schemas of datasets."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypeAliasType

from app.catalog.schemas import DatasetFormat, Task
from app.dependencies import NAME
from app.http.strict_json import strict_json
from app.uploads.schemas import UploadId
from ml.config import Config
from ml.data.derivation.operations import AnyOperation
from ml.licenses import MAX_LICENSE_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.tables import Dataset as DatasetRow

DatasetState = TypeAliasType("DatasetState", Literal["importing", "validating", "ready", "rejected"])
FINAL_STATES = frozenset({"ready", "rejected"})
Quoting = TypeAliasType("Quoting", Literal["doubled", "backslash", "none", "none_backslash"])
Severity = TypeAliasType("Severity", Literal["error", "note", "repair", "warning"])


class DatasetOptions(Config):
    """Options of a new dataset. Those left out are inferred; the report shows how."""

    name: str = Field(pattern=NAME, max_length=100)
    task: Annotated[Task, Field(max_length=100)] | None = None
    format: Annotated[DatasetFormat, Field(max_length=100)] | None = None
    columns: dict[str, str | int] | None = Field(
        None, description="Column of the format to column in the file: its name, or its position from 1."
    )
    splits: dict[str, Any] | None = Field(None, description="Split to fraction of the rows.")
    quoting: Quoting | None = Field(
        None,
        description="Quoting of delimited text: `doubled` or `backslash` enclose cells in quotes, in `none` and "
        "`none_backslash` quotes are characters.",
    )
    license: str | None = Field(
        None,
        max_length=MAX_LICENSE_CHARACTERS,
        pattern=r"\S",
        description="SPDX identifier, or free text. Read from README or LICENSE in the upload if absent.",
    )
    append: bool = Field(
        False,
        description="Whether the new version has all rows of the latest ready one, in their splits, and then the new "
        "rows.",
    )

    @staticmethod
    def parse_fields(fields: Mapping[str, str]) -> dict[str, Any]:
        """Decode form fields: empty ones are absent; `columns` and `splits` are JSON."""
        return {
            name: strict_json(value.encode(), field=name) if name in ("columns", "splits") else value
            for name, value in fields.items()
            if value != ""
        }


class DatasetCreate(DatasetOptions):
    """A dataset to create from finished uploads."""

    upload: UploadId | Annotated[list[UploadId], Field(min_length=1, max_length=1000)] = Field(
        description="The id of an upload, or several that are parts of one dataset."
    )

    @field_validator("upload")
    @classmethod
    def _check_ids(cls, upload: str | list[str]) -> str | list[str]:
        repeated = [upload_id for upload_id, count in Counter(upload).items() if count > 1]
        if isinstance(upload, list) and repeated:
            raise ValueError(f"{repeated[0]} is named twice; name each part once")
        return upload

    def upload_ids(self) -> list[str]:
        """Return the ids in the order of the request."""
        return [self.upload] if isinstance(self.upload, str) else self.upload


class DatasetDerive(Config):
    """Operations that make the next version of a dataset."""

    operations: list[AnyOperation] = Field(min_length=1, max_length=100, description="Applied in this order.")
    name: str | None = Field(
        None, pattern=NAME, max_length=100, description="Name of the new dataset [that of the one it is derived from]."
    )


class DatasetOrigin(BaseModel):
    """The dataset that another one was derived from, and how."""

    dataset: str = Field(description="`name@version`")
    operations: list[dict[str, Any]]


class DatasetError(BaseModel):
    """Reason why a dataset was rejected."""

    code: str
    message: str
    hint: str | None = None


class Dataset(BaseModel):
    """One version of a dataset; it does not change after its validation."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    version: int
    task: Task | None
    format: DatasetFormat | None
    state: DatasetState
    rows: int | None
    rows_read: int | None = Field(None, description="Rows read so far; only while the dataset is being checked.")
    splits: dict[str, int]
    classes: list[str] | None
    bytes: int | None
    digest: str | None
    origin: DatasetOrigin | None = Field(None, description="Null for an upload.")
    license: str | None = Field(description="SPDX identifier, or free text; null if it is not known.")
    error: DatasetError | None
    created_at: datetime

    @classmethod
    def of(cls, row: DatasetRow, *, rows_read: int | None = None) -> Self:
        """Convert a row."""
        summary: dict[str, Any] = row.summary or {}
        splits: dict[str, int] = summary.get("splits", {})
        return cls(
            id=row.id,
            name=row.name,
            version=row.version,
            task=summary.get("task") or row.task,
            format=summary.get("format") or row.format,
            state=row.state,
            rows=sum(splits.values()) if summary else None,
            rows_read=rows_read,
            splits=splits,
            classes=summary.get("classes"),
            bytes=row.bytes,
            digest=summary.get("digest"),
            license=row.license,
            origin=DatasetOrigin.model_validate(row.origin) if row.origin else None,
            error=DatasetError.model_validate(row.error) if row.error else None,
            created_at=row.created_at,
        )


class Position(BaseModel):
    """Position of a row in a dataset, which `preview` shows."""

    split: str
    index: int = Field(description="From 0 within the split.")


class FindingRow(Position):
    """One row that a finding lists."""

    object: Literal["finding_row"] = "finding_row"
    file: str | None = Field(None, description="File of the upload.")
    row: int | None = Field(None, description="Row of the file, from 1.")
    twin: Position | None = Field(None, description="The row that it resembles.")
    given_label: str | None = Field(None, description="The class that it has.")
    label: str | None = Field(None, description="The class that it probably has.")
    probability: float | None = Field(None, description="Probability of that class.")


class Sample(BaseModel):
    """One place in the data where a problem occurs."""

    model_config = ConfigDict(extra="allow")

    file: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None
    found: str | None = None
    expected: str | None = None
    split: str | None = Field(None, description="Split of the row in the dataset, for findings that list rows.")
    index: int | None = Field(None, description="Position from 0 of the row in its split.")
    twin: Position | None = Field(None, description="The row that it resembles.")


class ReportItem(BaseModel):
    """One kind of problem in the data: how often it occurs, and where first."""

    model_config = ConfigDict(extra="allow")

    code: str
    count: int
    severity: Severity
    hint: str | None = None
    sample: list[Sample] = []


class Fix(BaseModel):
    """An operation of `derive` that removes a finding."""

    finding: str | None = Field(description="Code of the finding; null for all errors of single rows.")
    rows: int
    operation: dict[str, Any] = Field(description="As `derive` accepts it.")
    is_default: bool = Field(description="Whether `plinth datasets fix` applies it by default.")
    description: str


class TableBeginning(BaseModel):
    """The first rows of an uploaded table, as its file has them."""

    file: str
    columns: list[str]
    rows: list[list[str]]


class DatasetReport(BaseModel):
    """The result of a validation, with every problem in the data."""

    model_config = ConfigDict(extra="allow")

    state: DatasetState
    rows: int = 0
    accepted: int = 0
    repaired: int = 0
    rejected: int = 0
    errors: list[ReportItem] = []
    splits: dict[str, int] = {}
    classes: Any = None
    #: Column to the number of rows of its classes; null until the data is ready.
    class_counts: dict[str, dict[str, int]] | None = None
    #: Measurements by column, such as the sizes of images; null until the data is ready.
    facts: dict[str, Any] | None = None
    suggestions: list[Any] = []
    guess: dict[str, Any] | None = None
    first_rows: TableBeginning | None = Field(None, description="Null for data that is no table.")
    fixes: list[Fix] = Field([], description="Operations of `derive` that remove findings.")
    reading: str = Field("", description="What was read and what was not, in one line.")


class PreviewRow(BaseModel):
    """A row as an input of `/predict`, and the output that it should have."""

    index: int = Field(description="Position of the row, from 0 in the split.")
    input: dict[str, Any]
    target: Any = None
    titles: dict[str, str] = Field({}, description="Title of each item in the row that the table of items describes.")
    file: str | None = Field(
        None,
        description="File of the upload with the row; null in datasets of earlier builds.",
    )
    row: int | None = Field(None, description="Row of the file, from 1.")
    line: int | None = Field(None, description="Line of the file, from 1.")


class Mistake(BaseModel):
    """A row where an evaluated model is wrong; `start` of `preview` is its `index`."""

    model_config = ConfigDict(extra="allow")

    object: Literal["mistake"] = "mistake"
    split: str
    index: int = Field(description="Position of the row, from 0 in the split.")
    file: str | None = Field(None, description="File of the upload with the row, as in `preview`.")
    row: int | None = Field(None, description="Row of the file, from 1.")
    line: int | None = Field(None, description="Line of the file, from 1.")
    input: dict[str, Any] = Field(description="The row as an input of `/predict`.")
    truth: Any = None
    answer: Any = Field(None, description="Output of the model.")
    confidence: float | None = Field(None, description="Probability of the answer, for tasks that choose a class.")


#: `stored`: as the importer wrote them, often class by class; `mixed`: spread over the whole split.
PreviewOrder = TypeAliasType("PreviewOrder", Literal["stored", "mixed"])


class Preview(BaseModel):
    """Some rows of a split, the first of them at `start`."""

    object: Literal["preview"] = "preview"
    split: str
    rows: int
    start: int
    data: list[PreviewRow]
