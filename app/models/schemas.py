"""Models as clients see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from app.catalog.schemas import Task
from app.uploads.schemas import UploadId
from ml.package.manifest import Graph
from ml.spec.interchange import Import

if TYPE_CHECKING:
    from store.tables import AliasChange as AliasChangeRow

Engine = TypeAliasType("Engine", Literal["onnxruntime", "torch"])


class ModelImport(Import):
    """A model out of a finished upload, or from the Hugging Face hub where this service may fetch from there."""

    task: Annotated[Task, Field(max_length=100)] | None = Field(
        None, description="What the model is for. Needed for an ONNX file, which does not say."
    )
    upload: UploadId | None = Field(None, description="The id of an upload: a zip, or one .onnx file.")
    hub: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        description="`owner/name` on the hub. Off unless PLINTH_HUB_TOKEN is set where the service runs.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.upload is None) == (self.hub is None):
            raise ValueError("give either upload or hub")
        return self


class Parent(BaseModel):
    """The model this one started from."""

    name: str
    version: int


class LineageDataset(BaseModel):
    """The data it learned from."""

    id: str
    digest: str | None


class Lineage(BaseModel):
    """Where a model came from."""

    job: str | None
    dataset: LineageDataset | None
    parent: Parent | None


class PackageFile(BaseModel):
    """One file of a package."""

    path: str
    bytes: int
    sha256: str


class ModelVersion(BaseModel):
    """A registered package: what it is, how good it was, and where it came from."""

    id: str
    object: Literal["model_version"] = "model_version"
    name: str
    version: int
    task: Task | None
    architecture: dict[str, str]
    parameters: int
    bytes: int
    metrics: dict[str, float | None]
    labels: list[str] | None
    lineage: Lineage
    files: list[PackageFile]
    formats: list[str]
    aliases: list[str]
    created_at: datetime


class ModelVersionInFull(ModelVersion):
    """The same, with what answers for it and how that was proved."""

    warnings: list[str]
    """Why not to trust it, as the report of its job says."""
    engine: Engine
    engine_reason: str | None
    """Why torch has to: what came of the attempt to write graphs. None where there are graphs."""
    graphs: dict[str, Graph]
    """By name: what each reads and answers, how it compares with the network (`parity`), and what was tried to make it
    faster, with the verdict (`variant`, `other_variants`). What is served is
    the graph's own file, or that of its variant."""


class Model(BaseModel):
    """A name and what stands under it."""

    object: Literal["model"] = "model"
    name: str
    task: Task | None
    latest_version: int
    versions: int
    aliases: dict[str, int]
    created_at: datetime
    updated_at: datetime


class AliasSet(BaseModel):
    """Which version an alias should mean."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**31 - 1)


class AliasChange(BaseModel):
    """What an alias meant from a certain time on; `version` is null where it was removed."""

    version: int | None
    changed_at: datetime

    @classmethod
    def of(cls, row: AliasChangeRow) -> Self:
        """As stored."""
        return cls(version=row.version, changed_at=row.changed_at)


class Alias(BaseModel):
    """A name for a version, which may move. Its `ETag` goes into `If-Match`."""

    object: Literal["alias"] = "alias"
    model: str
    alias: str
    version: int
    etag: str
    updated_at: datetime


class AliasWithHistory(Alias):
    """Newest change first."""

    history: list[AliasChange]


class Signature(BaseModel):
    """What goes in and what comes out, as JSON schemas, with an example."""

    model_config = ConfigDict(extra="allow")

    object: Literal["signature"] = "signature"
    model: str
    version: int
    task: Task | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: Any = None
    engine: Engine
    """What runs it: `onnxruntime`, or `torch` where there is no graph."""
    graphs: dict[str, Any] = {}
    """By name: inputs, outputs, how its answers compare with the network's, and the faster variant that was tried."""
