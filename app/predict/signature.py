"""Tensors of a model: one for each field of its inputs and outputs.

Each has the rows of a request as its first axis. What is no number, text or file is JSON in `BYTES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ml.inference.predictor import Predictor


class FieldKind(Enum):
    """Kinds of fields, by what JSON has in their place."""

    #: An image file or audio file, which is base64 in JSON.
    FILE = auto()
    TEXT = auto()
    NUMBER = auto()
    #: Rows of numbers from 0 to 255.
    PIXELS = auto()
    #: A vector of numbers.
    VECTOR = auto()
    #: A number for each class of the model.
    CLASSES = auto()
    #: Any other value, as JSON in `BYTES`.
    JSON = auto()


@dataclass(frozen=True, slots=True)
class TensorField:
    """A field of an input or output, as a tensor of all rows."""

    name: str
    kind: FieldKind
    datatype: str
    shape: tuple[int, ...]
    is_required: bool
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class TensorSignature:
    """The tensors of one model by name."""

    inputs: Mapping[str, TensorField]
    outputs: Mapping[str, TensorField]
    #: Names of the classes, in the order of tensors of the kind `CLASSES`.
    labels: Sequence[str]
    #: Further inputs that may be sent, and that change nothing.
    ignored: Collection[str] = ()


_SIGNATURES: WeakKeyDictionary[Predictor, TensorSignature] = WeakKeyDictionary()
_DATATYPES: Final[Mapping[str, str]] = {"integer": "INT64", "number": "FP64", "boolean": "BOOL"}


def signature_of(predictor: Predictor) -> TensorSignature:
    """Return the tensors of a loaded model."""
    signature = _SIGNATURES.get(predictor)
    if signature is None:
        adapter = predictor.adapter
        labels = predictor.manifest.labels or ()
        outputs = _fields(adapter.output_type.model_json_schema(mode="serialization"), len(labels))
        inputs = _fields(adapter.input_schema(), len(labels))
        signature = TensorSignature(inputs, outputs, labels, adapter.ignored_fields)
        _SIGNATURES[predictor] = signature
    return signature


def embedding_field(name: str) -> TensorField:
    """Return the field of an embedding, which any model has on request."""
    return TensorField(name, FieldKind.VECTOR, "FP32", (-1, -1), True, False)


def _fields(schema: Mapping[str, Any], classes: int) -> dict[str, TensorField]:
    # A base model with several backbones reads the input of any of them.
    objects = schema.get("anyOf", [schema])
    return {
        name: _field(name, value, classes, is_required=name in item.get("required", ()))
        for item in objects
        for name, value in item.get("properties", {}).items()
    }


def _field(name: str, schema: Mapping[str, Any], classes: int, *, is_required: bool) -> TensorField:
    options = list(_options(schema))
    kind, datatype, shape = _tensor_of(options, classes)
    is_nullable = {"type": "null"} in options
    return TensorField(name, kind, datatype, (-1, *shape), is_required, is_nullable)


def _options(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the alternatives of a field."""
    if "anyOf" not in schema:
        yield schema
    for option in schema.get("anyOf", ()):
        yield from _options(option)


def _tensor_of(options: Sequence[Mapping[str, Any]], classes: int) -> tuple[FieldKind, str, tuple[int, ...]]:
    """Return the kind and datatype of a field, and the axes after the first."""
    values = [option for option in options if option.get("type") != "null"]
    schema = values[0] if values else {}
    types = {option.get("type") for option in values}
    if "contentEncoding" in schema:
        return FieldKind.FILE, "BYTES", ()
    if len(types) == 1 and (datatype := _DATATYPES.get(schema.get("type", ""))):
        return FieldKind.NUMBER, datatype, ()
    if types <= {"string", "number", "boolean"} and "string" in types:
        return FieldKind.TEXT, "BYTES", ()
    if _is_number(schema.get("additionalProperties")) and classes:
        return FieldKind.CLASSES, "FP32", (classes,)
    items = schema.get("items", {})
    if _is_number(items):
        return FieldKind.VECTOR, "FP32", (-1,)
    elements = [option for option in _options(items.get("items", {})) if _is_number(option)]
    if any(element.get("maximum") == 255 for element in elements):
        return FieldKind.PIXELS, "UINT8", (-1, -1)
    return FieldKind.JSON, "BYTES", ()


def _is_number(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "number"
