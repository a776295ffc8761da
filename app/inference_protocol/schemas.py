"""Schemas of the Open Inference Protocol.

Members that it does not define are ignored, as by its servers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

MAX_TENSORS = 1000
MAX_AXES = 8

Datatype = TypeAliasType(
    "Datatype",
    Literal[
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
        "BF16",
        "BYTES",
    ],
)
IndexState = TypeAliasType("IndexState", Literal["READY", "UNAVAILABLE"])
#: Made by a factory where they are left out: Pydantic copies any other default, which takes longer than the validation.
Parameters = dict[str, Any]


class ServerMetadata(BaseModel):
    """Name and version of the service, and the extensions that it has."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """The process runs."""

    live: Literal[True] = True


class ServerReady(BaseModel):
    """The service can handle requests."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The model is loaded."""

    name: str
    ready: Literal[True] = True


class TensorMetadata(BaseModel):
    """A tensor of a model; its first axis are the rows of a request."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1: any length")
    optional: bool = Field(description="True: a request, or an answer, may leave it out.")
    labels: list[str] | None = Field(None, description="Names of the classes along the second axis.")


class ModelMetadata(BaseModel):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InputTensor(BaseModel):
    """One field of all rows, as JSON in `data`, or after the JSON with `binary_data_size`."""

    name: str = Field(max_length=1000)
    datatype: Datatype
    shape: list[Annotated[int, Field(ge=1, strict=True)]] = Field(min_length=1, max_length=MAX_AXES)
    data: Any = None
    parameters: Parameters = Field(default_factory=dict)


class RequestedOutput(BaseModel):
    """An output that is wanted, and its form."""

    name: str = Field(max_length=1000)
    parameters: Parameters = Field(default_factory=dict)


class InferRequest(BaseModel):
    """Tensors of a request. Parameters that the protocol does not define are those of `/predict`."""

    id: str | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(min_length=1, max_length=MAX_TENSORS)
    outputs: list[RequestedOutput] = Field(default_factory=list, max_length=MAX_TENSORS)


class OutputTensor(BaseModel):
    """One field of all outputs."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any] | None = None
    parameters: Parameters | None = None


class InferResponse(BaseModel):
    """Tensors of an answer, and the version that made them."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class IndexRequest(BaseModel):
    """Models to list."""

    ready: bool | None = Field(None, description="True: only those in memory.")


class IndexEntry(BaseModel):
    """A model, and whether it is in memory.

    The first request loads one that is not.
    """

    name: str
    version: str
    state: IndexState
    reason: str = ""


class ModelControl(BaseModel):
    """Parameters of loading and unloading."""

    parameters: Parameters = Field(default_factory=dict)


class ModelLoaded(BaseModel):
    """The model is in memory."""

    name: str
    load: Literal[True] = True


class ModelUnloaded(BaseModel):
    """The model is not in memory."""

    name: str
    unload: Literal[True] = True


class ConfigTensor(BaseModel):
    """A tensor of a model without its first axis, the rows."""

    name: str
    data_type: str = Field(examples=["TYPE_FP32"])
    dims: list[int]
    optional: bool


class ModelConfig(BaseModel):
    """Configuration of a model, as Triton describes it."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="Rows of a request.")
    input: list[ConfigTensor]
    output: list[ConfigTensor]


class DurationCount(BaseModel):
    """A number of events, and their total duration in nanoseconds."""

    count: int = 0
    ns: int = 0


class InferenceStatistics(BaseModel):
    """Durations of requests and of batches; those that are not measured are 0."""

    success: DurationCount
    fail: DurationCount = DurationCount()
    queue: DurationCount = DurationCount()
    compute_input: DurationCount = DurationCount()
    compute_infer: DurationCount
    compute_output: DurationCount = DurationCount()
    cache_hit: DurationCount = DurationCount()
    cache_miss: DurationCount = DurationCount()


class ModelStatistics(BaseModel):
    """Counters of the process that answers, since it started; versions of one name count together."""

    name: str
    version: str
    last_inference: int = Field(0, description="Not measured.")
    inference_count: int = Field(description="Rows.")
    execution_count: int = Field(description="Batches.")
    inference_stats: InferenceStatistics
    batch_stats: list[DurationCount] = Field(default_factory=list, max_length=0, description="Not measured.")


class ServerStatistics(BaseModel):
    """Statistics of the models in memory."""

    model_stats: list[ModelStatistics]
