"""Configuration and statistics of models, in the shapes of Triton's extensions of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.inference_protocol.schemas import (
    ConfigTensor,
    DurationCount,
    InferenceStatistics,
    ModelConfig,
    ModelStatistics,
)
from app.predict.schemas import MAX_INPUTS

if TYPE_CHECKING:
    from app.metrics.histogram import Histogram
    from app.predict.signature import TensorField, TensorSignature
    from app.serving.types import LoadedModel

NANOSECONDS = 1_000_000_000


def to_config(model: LoadedModel, signature: TensorSignature) -> ModelConfig:
    """Return the configuration of a loaded model."""
    return ModelConfig(
        name=model.served.name,
        platform=model.predictor.engine,
        backend=model.predictor.engine,
        max_batch_size=MAX_INPUTS,
        input=[_to_tensor(field) for field in signature.inputs.values()],
        output=[_to_tensor(field) for field in signature.outputs.values()],
    )


def to_statistics(model: LoadedModel) -> ModelStatistics:
    """Return the counters of the model's name since the process started.

    All of its versions count together.
    """
    record = model.record
    statistics = InferenceStatistics(success=_to_count(record.latency), compute_infer=_to_count(record.batch_seconds))
    return ModelStatistics(
        name=model.served.name,
        version=str(model.served.version),
        inference_count=round(record.batch_rows.total),
        execution_count=record.batch_rows.count,
        inference_stats=statistics,
    )


def _to_tensor(field: TensorField) -> ConfigTensor:
    data_type = "TYPE_STRING" if field.datatype == "BYTES" else f"TYPE_{field.datatype}"
    return ConfigTensor(
        name=field.name, data_type=data_type, dims=list(field.shape[1:]), optional=not field.is_required
    )


def _to_count(seconds: Histogram) -> DurationCount:
    return DurationCount(count=seconds.count, ns=round(seconds.total * NANOSECONDS))
