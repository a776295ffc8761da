"""Answers: from the outputs of `/predict` to tensors, as JSON or as bytes after it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
from starlette.responses import Response

from app.http.errors import ProblemError, summarize
from app.inference_protocol import datatypes
from app.inference_protocol.request_tensors import BINARY_OUTPUT, BINARY_SIZE, HEADER_LENGTH
from app.predict.handler import RESPONSE_TYPE
from app.predict.signature import FieldKind, embedding_field
from ml.errors import Finding, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.inference_protocol.schemas import InferRequest
    from app.predict.signature import TensorField, TensorSignature
    from app.serving.types import PredictResult

    Outputs = Sequence[dict[str, Any]]

BINARY_DATA: Final = "binary_data"
CLASSIFICATION: Final = "classification"
BINARY_TYPE: Final = "application/octet-stream"
_NO_PARAMETERS: Final[Mapping[str, Any]] = MappingProxyType({})


def respond(request: InferRequest, result: PredictResult, signature: TensorSignature) -> Response:
    """Return the outputs that were requested, as `encode`."""
    answer = encode(request, result, signature)
    return Response(answer, media_type=RESPONSE_TYPE) if isinstance(answer, bytes) else answer


def encode(request: InferRequest, result: PredictResult, signature: TensorSignature) -> bytes | Response:
    """Encode the requested outputs as JSON, or as a response with bytes.

    Raises `ProblemError` 422 for an output that does not exist.
    """
    fields = _fields(result.outputs, signature)
    requested = [(_find(output.name, fields), output.parameters) for output in request.outputs]
    tensors: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for field, parameters in requested or ((field, _NO_PARAMETERS) for field in fields):
        is_binary = bool(parameters.get(BINARY_DATA, request.parameters.get(BINARY_OUTPUT, False)))
        tensor, values = _to_tensor(field, result.outputs, signature, parameters)
        if is_binary:
            parts.append(datatypes.to_bytes(values))
            tensor["parameters"] = {BINARY_SIZE: len(parts[-1])}
        else:
            tensor["data"] = _to_json(field, values)
        tensors.append(tensor)
    answer = {
        "model_name": result.served.name,
        "model_version": str(result.served.version),
        **({} if request.id is None else {"id": request.id}),
        "outputs": tensors,
    }
    header = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not parts:
        return header
    return Response(b"".join((header, *parts)), headers={HEADER_LENGTH: str(len(header))}, media_type=BINARY_TYPE)


def _fields(outputs: Outputs, signature: TensorSignature) -> list[TensorField]:
    """Return the fields that any output has, in the order of the signature."""
    names = dict.fromkeys(chain.from_iterable(outputs))
    fields = [field for name, field in signature.outputs.items() if name in names]
    if len(fields) == len(names):
        return fields
    return [*fields, *(embedding_field(name) for name in names if name not in signature.outputs)]


def _find(name: str, fields: Sequence[TensorField]) -> TensorField:
    field = next((field for field in fields if field.name == name), None)
    if field is None:
        finding = unknown("output", name, [field.name for field in fields], path="outputs")
        raise ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])
    return field


def _to_tensor(
    field: TensorField, outputs: Outputs, signature: TensorSignature, parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], np.ndarray | list[bytes]]:
    count = parameters.get(CLASSIFICATION)
    if count is not None:
        rows = _to_classes(field, outputs, signature, count)
        shape, values = [len(rows), len(rows[0])], [element for row in rows for element in row]
        return {"name": field.name, "datatype": datatypes.BYTES, "shape": shape}, values
    column = _to_column(field, [output.get(field.name) for output in outputs], signature)
    shape = list(column.shape) if isinstance(column, np.ndarray) else [len(column)]
    return {"name": field.name, "datatype": field.datatype, "shape": shape}, column


def _to_column(field: TensorField, values: Sequence[Any], signature: TensorSignature) -> np.ndarray | list[bytes]:
    """Return the values of a field, one for each row.

    Where a row has none, it is 0, "" or null.
    """
    match field.kind:
        case FieldKind.NUMBER:
            return np.array([0 if value is None else value for value in values], datatypes.NUMBERS[field.datatype])
        case FieldKind.VECTOR:
            return np.array(values, np.float32)
        case FieldKind.CLASSES:
            return np.array([[value[label] for label in signature.labels] for value in values], np.float32)
        case FieldKind.FILE:
            return [base64.b64decode(value or "") for value in values]
        case FieldKind.TEXT:
            return [str("" if value is None else value).encode() for value in values]
    return [orjson.dumps(value) for value in values]


def _to_classes(field: TensorField, outputs: Outputs, signature: TensorSignature, count: Any) -> list[list[bytes]]:
    """Return the most probable classes of each row, as `probability:index:label`."""
    if field.kind is not FieldKind.CLASSES or isinstance(count, bool) or not isinstance(count, int) or count < 1:
        message = f"{field.name} has no classes" if field.kind is not FieldKind.CLASSES else "must be 1 or more"
        hint = "Request the output probabilities of a classifier."
        finding = Finding(
            code="invalid_tensor", message=message, path=f"outputs.parameters.{CLASSIFICATION}", hint=hint
        )
        raise ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])
    positions = {label: position for position, label in enumerate(signature.labels)}
    rows = []
    for output in outputs:
        best = sorted(output[field.name].items(), key=lambda item: -item[1])[:count]
        rows.append([f"{score:f}:{positions[label]}:{label}".encode() for label, score in best])
    return rows


def _to_json(field: TensorField, values: np.ndarray | list[bytes]) -> Any:
    if isinstance(values, np.ndarray):
        return values.ravel()
    is_file = field.kind is FieldKind.FILE
    return [base64.b64encode(value).decode() if is_file else value.decode() for value in values]
