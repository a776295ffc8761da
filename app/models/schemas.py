"""Schemas of models."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from app.catalog.schemas import Task
from app.jobs.schemas import License
from app.uploads.schemas import UploadId
from ml.config import Config
from ml.package.manifest import Graph
from ml.spec.interchange import Import

if TYPE_CHECKING:
    from store.tables import AliasChange as AliasChangeRow

Engine = TypeAliasType("Engine", Literal["onnxruntime", "torch"])


class ModelImport(Import):
    """A model to import from a finished upload or the Hugging Face hub."""

    task: Annotated[Task, Field(max_length=100)] | None = Field(
        None, description="Task of the model. Required for an ONNX file, which does not contain it."
    )
    upload: UploadId | None = Field(None, description="The id of an upload: a zip, or one .onnx file.")
    hub: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=200,
        description="`owner/name` on the hub. Needs PLINTH_HUB_TOKEN on the server.",
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.upload is None) == (self.hub is None):
            raise ValueError("has both or neither of upload and hub; send one of them")
        return self


class Parent(BaseModel):
    """The model from which this one was fine-tuned."""

    name: str
    version: int


class LineageDataset(BaseModel):
    """The dataset that the model was trained on."""

    id: str
    digest: str | None


class Lineage(BaseModel):
    """Origin of a model: its job, dataset and parent."""

    job: str | None
    dataset: LineageDataset | None
    parent: Parent | None


class PackageFile(BaseModel):
    """One file of a package."""

    path: str
    bytes: int
    sha256: str


class ModelVersion(BaseModel):
    """One version of a model: metrics, lineage and files."""

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
    license: str | None = Field(description="License of the model itself; null if it is not known.")
    licenses: list[License] = Field(description="Licenses of the model and of the data and models that it was made of.")
    lineage: Lineage
    files: list[PackageFile]
    formats: list[str]
    aliases: list[str]
    created_at: datetime


class ModelVersionInFull(ModelVersion):
    """A version with its graphs and the comparison of their outputs with the network."""

    warnings: list[str] = Field(description="Reasons not to trust the model, from the report of its job.")
    engine: Engine = Field(description="Runs the model: `torch` if it has no graph.")
    engine_reason: str | None = Field(description="Why the model has no graph; null if it has graphs.")
    graphs: dict[str, Graph] = Field(
        description=(
            "Graphs by name: inputs, outputs, comparison with the network (`parity`), and the faster variants that "
            "were tried (`variant`, `other_variants`). The variant is served if there is one."
        )
    )


class Model(BaseModel):
    """A model: a name with one or more versions."""

    object: Literal["model"] = "model"
    name: str
    task: Task | None
    latest_version: int
    versions: int = Field(description="Number of versions.")
    aliases: dict[str, int] = Field(description="Alias to version.")
    is_watched: bool = Field(description="Whether it has a watch; see `watch`.")
    created_at: datetime
    updated_at: datetime


class AliasSet(Config):
    """New version of an alias."""

    version: int = Field(ge=1, le=2**31 - 1)


class AliasChange(BaseModel):
    """A change of an alias."""

    version: int | None = Field(description="New version; null if the alias was deleted.")
    changed_at: datetime

    @classmethod
    def of(cls, row: AliasChangeRow) -> Self:
        """Convert a row."""
        return cls(version=row.version, changed_at=row.changed_at)


class Alias(BaseModel):
    """A name for a version, which can be moved to another version."""

    object: Literal["alias"] = "alias"
    model: str
    alias: str
    version: int
    etag: str = Field(description="Value for `If-Match`.")
    updated_at: datetime


class AliasWithHistory(Alias):
    """An alias with its history."""

    history: list[AliasChange] = Field(description="Newest change first.")
    is_split: bool = Field(description="Whether a second version gets part of its requests; see `split`.")


class Signature(BaseModel):
    """JSON schemas of the inputs and outputs of a model, with an example."""

    model_config = ConfigDict(extra="allow")

    object: Literal["signature"] = "signature"
    model: str
    version: int
    task: Task | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: Any = None
    engine: Engine = Field(description="Runs the model: `torch` if it has no graph.")
    graphs: dict[str, Any] = Field(
        {},
        description="Graphs by name: inputs, outputs, comparison with the network, and the variants that were tried.",
    )


SplitMode = TypeAliasType("SplitMode", Literal["canary", "shadow"])
Weight = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TrafficSplitSet(Config):
    """A second version of an alias, and the fraction of requests it gets."""

    version: int = Field(ge=1, le=2**31 - 1, description="The candidate.")
    mode: SplitMode = Field(
        "canary", description="`canary` answers its requests; `shadow` gets copies, and its answers are only counted."
    )
    weight: Weight = Field(description="Fraction of the requests that the candidate gets.")


class LatencyQuantiles(BaseModel):
    """Quantiles of the time from the arrival of a request to its response, in seconds."""

    p50: float | None
    p90: float | None
    p99: float | None


class SplitVersion(BaseModel):
    """Figures of one of the two versions since the split began."""

    version: int
    requests: int
    errors: int = Field(description="Requests that failed; invalid inputs do not count.")
    latency_seconds: LatencyQuantiles
    classes: dict[str, float] = Field(description="Fraction of each predicted class.")
    mean_confidence: float | None = Field(description="Null where outputs have no confidence.")


class TrafficSplit(BaseModel):
    """Traffic of an alias with figures of both versions, at most a second old."""

    object: Literal["traffic_split"] = "traffic_split"
    model: str
    alias: str
    mode: SplitMode
    weight: float
    current: SplitVersion = Field(description="The version of the alias.")
    candidate: SplitVersion
    agreement: float | None = Field(
        description="Fraction of mirrored inputs to which both gave the same label; null without any."
    )
    dropped: int = Field(description="Copies that were not run, as too many were running.")
    created_at: datetime
