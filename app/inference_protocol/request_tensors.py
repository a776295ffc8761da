"""Requests: from tensors to the rows that `/predict` reads."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from app.http.errors import ProblemError, summarize
from app.http.strict_json import MAX_VALUES, strict_json
from app.http.validation import parse
from app.inference_protocol import datatypes
from app.inference_protocol.schemas import InferRequest
from app.predict.schemas import MAX_INPUTS
from app.predict.signature import FieldKind
from ml.errors import Finding, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.inference_protocol.schemas import InputTensor
    from app.predict.signature import TensorField, TensorSignature

#: Header with the size of the JSON that binary tensors follow.
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
BINARY_SIZE: Final = "binary_data_size"
BINARY_OUTPUT: Final = "binary_data_output"
TIMEOUT: Final = "timeout"
#: Parameters of the protocol that are no parameters of `/predict`; the last of them change nothing here.
_OWN_PARAMETERS: Final = frozenset({BINARY_OUTPUT, TIMEOUT, "priority", "binary_data_size"})
_SEQUENCES: Final = frozenset({"sequence_id", "sequence_start", "sequence_end"})
_SHARED_MEMORY: Final = "shared_memory_region"
_BINARY_HINT: Final = f"Send its bytes after the JSON, and the size of the JSON in the header {HEADER_LENGTH}."


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """A parsed body: the request without the data of its inputs, and their values."""

    body: InferRequest
    tensors: Mapping[str, np.ndarray | Sequence[str | bytes]]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of `/predict`."""
        return {name: value for name, value in self.body.parameters.items() if name not in _OWN_PARAMETERS}

    @property
    def deadline(self) -> float | None:
        """The deadline that `timeout` sets in microseconds, a monotonic time."""
        timeout = self.body.parameters.get(TIMEOUT)
        return None if timeout is None else time.monotonic() + timeout / 1e6

    def rows(self, signature: TensorSignature) -> list[dict[str, Any]]:
        """Return the inputs of `/predict`, one for each row; raises `ProblemError` 422."""
        findings = [
            unknown("input", tensor.name, signature.inputs, path=f"inputs.{index}.name")
            for index, tensor in enumerate(self.body.inputs)
            if tensor.name not in signature.inputs and tensor.name not in signature.ignored
        ]
        if findings:
            raise ProblemError(422, "invalid_request", summarize(findings), errors=findings)
        count = self._count()
        rows: list[dict[str, Any]] = [{} for _ in range(count)]
        for index, tensor in enumerate(self.body.inputs):
            if tensor.name in signature.ignored:
                continue
            values = self.tensors[tensor.name]
            try:
                column = _to_column(signature.inputs[tensor.name], tensor, values)
            except ValueError as error:
                _refuse(index, str(error))
            for row, value in zip(rows, column, strict=True):
                row[tensor.name] = value
        return rows

    def _count(self) -> int:
        count = self.body.inputs[0].shape[0]
        for index, tensor in enumerate(self.body.inputs):
            if tensor.shape[0] != count:
                message = f"has {tensor.shape[0]} rows, and the first input has {count}"
                _refuse(index, message, hint="The first axis of every input are the rows.", member="shape")
        if count > MAX_INPUTS:
            hint = f"Send at most {MAX_INPUTS:,} at a time."
            _refuse(0, f"has {count:,} rows (limit {MAX_INPUTS:,})", hint=hint, member="shape")
        return count


def parse_body(
    body: bytes, header_length: str | None, *, decode: Callable[[bytes], Any] = strict_json
) -> TensorRequest:
    """Parse a body of JSON, or of JSON and binary tensors; raises `ProblemError` 422."""
    content, rest = _split(body, header_length, decode)
    has_rest = bool(rest)
    request = parse(InferRequest.model_validate, content, schema=_schema(), check=lambda _: None)
    _check_parameters(request.parameters)
    tensors: dict[str, np.ndarray | Sequence[str | bytes]] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in tensors:
            _refuse(index, "was sent before", hint="Send each input once.", member="name")
        try:
            tensors[tensor.name], used = _read(tensor, rest, has_rest=has_rest)
        except ValueError as error:
            _refuse(index, str(error))
        rest = rest[used:]
    if rest:
        message = f"{len(rest)} bytes follow the last input"
        raise _invalid(message, path=None, hint=f"Name the size of each binary input in {BINARY_SIZE}.")
    return TensorRequest(request, tensors)


@cache
def _schema() -> dict[str, Any]:
    return InferRequest.model_json_schema()


def _split(body: bytes, header_length: str | None, decode: Callable[[bytes], Any]) -> tuple[Any, memoryview]:
    """Return the JSON of a body, and the bytes after it.

    Raises the errors of `decode`, and `ProblemError` 422.

    tritonclient leaves the size of an earlier request in the headers of its caller: it is ignored if the whole body is
    JSON.
    """
    try:
        size = _json_size(body, header_length)
        return decode(body[:size]), memoryview(body)[size:]
    except (ProblemError, ValueError):
        if header_length is not None and header_length.isdecimal():
            with suppress(ProblemError, ValueError):
                return decode(body), memoryview(b"")
        raise


def _json_size(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    size = int(header_length) if header_length.isdecimal() and len(header_length) < 20 else -1
    if not 0 < size <= len(body):
        message = f"{HEADER_LENGTH} is {header_length[:40]!r}, and the body has {len(body)} bytes"
        raise _invalid(message, path=None, hint="It is the size in bytes of the JSON at the start of the body.")
    return size


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name in _SEQUENCES & parameters.keys():
        raise _invalid("models keep no state between requests", path=f"parameters.{name}", hint="Omit it.")
    timeout = parameters.get(TIMEOUT, 1)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < 1e15:
        hint = "It is a number of microseconds."
        raise _invalid("must be a number above 0", path=f"parameters.{TIMEOUT}", hint=hint)


def _read(tensor: InputTensor, rest: memoryview, *, has_rest: bool) -> tuple[np.ndarray | Sequence[str | bytes], int]:
    """Return the values of a tensor, and the bytes of `rest` that they took.

    Raises `ValueError`.
    """
    if _SHARED_MEMORY in tensor.parameters:
        raise ValueError("is in shared memory, which this service does not read. Send it in the request")
    size = tensor.parameters.get(BINARY_SIZE)
    if size is None:
        if tensor.data is None:
            raise ValueError(f"has neither data nor {BINARY_SIZE}; send one of them")
        return datatypes.from_json(tensor.datatype, tensor.shape, tensor.data), 0
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(rest):
        remaining = f"{len(rest)} bytes remain" if has_rest else "no bytes follow the JSON"
        raise ValueError(f"has the {BINARY_SIZE} {str(size)[:40]}, and {remaining}. {_BINARY_HINT}")
    if tensor.datatype == datatypes.BYTES and size > 4 * MAX_VALUES and np.prod(tensor.shape) > MAX_VALUES:
        raise ValueError(f"has too many elements (limit {MAX_VALUES:,}); send fewer rows at a time")
    return datatypes.from_bytes(tensor.datatype, tensor.shape, rest[:size]), size


def _to_column(field: TensorField, tensor: InputTensor, values: np.ndarray | Sequence[str | bytes]) -> Iterable[Any]:
    """Return the value of a field for each row; raises `ValueError`."""
    if isinstance(values, np.ndarray):
        return _to_numbers(field, values)
    if len(tensor.shape) > 1 and tensor.shape[1:] != [1]:
        texts = [_to_text(value, index) for index, value in enumerate(values)]
        return np.array(texts, object).reshape(tensor.shape).tolist()  # type: ignore[no-any-return]  # nested lists
    if field.kind is FieldKind.FILE:
        return values
    texts = [_to_text(value, index) for index, value in enumerate(values)]
    return map(_to_json, texts) if field.kind is FieldKind.JSON else texts


def _to_numbers(field: TensorField, values: np.ndarray) -> Iterable[Any]:
    if field.kind is FieldKind.PIXELS:
        return list(values)
    if values.size > MAX_VALUES:
        raise ValueError(f"has too many numbers (limit {MAX_VALUES:,}); send fewer rows at a time")
    column = values.reshape(len(values)) if values.ndim == 2 and values.shape[1] == 1 else values
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return column.tolist()  # type: ignore[no-any-return]  # numbers, or nested lists
    if field.is_nullable and column.ndim == 1 and not np.isinf(column).any():
        return [None if number != number else number for number in column.tolist()]
    raise ValueError("has NaN or an infinity, which this input does not take; leave such rows out")


def _to_text(value: str | bytes, index: int) -> str:
    try:
        text = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"has an element {index} that is not UTF-8 at byte {error.start}; encode texts as UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"has the character \\u0000 in its element {index}, which is not allowed; remove it")
    return text


def _to_json(text: str) -> Any:
    try:
        return strict_json(text.encode())
    except ProblemError as error:
        raise ValueError(f"is JSON in BYTES, and an element is not: {error.detail}") from None


def _refuse(index: int, message: str, *, hint: str | None = None, member: str = "") -> NoReturn:
    raise _invalid(message, path=f"inputs.{index}.{member}".rstrip("."), hint=hint)


def _invalid(message: str, *, path: str | None, hint: str | None) -> ProblemError:
    finding = Finding(code="invalid_tensor", message=message, path=path, hint=hint)
    return ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])
