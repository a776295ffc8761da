"""Metadata of a model in the shapes of TF Serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.predict.signature import TensorField, TensorSignature
    from app.serving.types import ServedVersion

#: Names of types in TensorFlow, by those of the tensors of `/v2`.
DTYPES: Final[Mapping[str, str]] = {
    "BOOL": "DT_BOOL",
    "BYTES": "DT_STRING",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "INT64": "DT_INT64",
    "UINT8": "DT_UINT8",
}


class ModelSpec(BaseModel):
    """Name and version of a model."""

    name: str
    signature_name: str = ""
    version: str


class ServingMetadata(BaseModel):
    """A model, and its signature `serving_default` below `metadata.signature_def.signature_def`."""

    model_spec: ModelSpec
    metadata: dict[str, Any]


def to_metadata(served: ServedVersion, signature: TensorSignature) -> ServingMetadata:
    """Return the metadata of a model; `instances` have its inputs as members."""
    definition = {
        "inputs": _to_tensors(signature.inputs.values()),
        "outputs": _to_tensors(signature.outputs.values()),
        "method_name": "tensorflow/serving/predict",
    }
    return ServingMetadata(
        model_spec=ModelSpec(name=served.name, version=str(served.version)),
        metadata={"signature_def": {"signature_def": {"serving_default": definition}}},
    )


def _to_tensors(fields: Iterable[TensorField]) -> dict[str, Any]:
    return {
        field.name: {
            "dtype": DTYPES[field.datatype],
            "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in field.shape], "unknown_rank": False},
            "name": field.name,
        }
        for field in fields
    }
