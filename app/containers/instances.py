"""Rows in the forms of MLflow, TF Serving and CSV, as inputs of `/predict`."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import orjson

from app.http.errors import ProblemError, summarize
from app.predict.schemas import MAX_INPUTS
from ml.data.cell_values import to_value
from ml.errors import Finding, shorten, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.tasks.base import TaskAdapter

#: Header by which SageMaker names one of several models; the archive that it names is the model here.
TARGET_MODEL: Final = "X-Amzn-SageMaker-Target-Model"
#: Forms of TF Serving, KServe and Vertex.
TENSOR_FORMS: Final = ("instances", "inputs")
#: Those, and the two of MLflow for a DataFrame.
ALL_FORMS: Final = ("dataframe_split", "dataframe_records", *TENSOR_FORMS)
#: Fields with parameters of `/predict`: MLflow's name, and Vertex's.
_PARAMETERS: Final = ("params", "parameters")
#: A field of TF Serving: models here have one signature.
_IGNORED: Final = ("signature_name",)
_PROPERTIES: Final[WeakKeyDictionary[TaskAdapter, Mapping[str, Any]]] = WeakKeyDictionary()
#: How TF Serving writes a file: an object with base64.
_BASE64: Final = "b64"


@dataclass(frozen=True, slots=True)
class Instances:
    """Rows in the form that was sent, before they are inputs of a model."""

    form: str
    rows: Sequence[Any]
    parameters: dict[str, Any] = field(default_factory=dict)
    #: True if the rows came by column, as the `inputs` of TF Serving may.
    is_by_column: bool = False


def parse_instances(value: Any, forms: Sequence[str]) -> Instances:
    """Return the rows of a JSON body with one of `forms`; raises `ProblemError` 422."""
    members = (*forms, *_PARAMETERS, *_IGNORED)
    if not isinstance(value, dict):
        raise invalid("the body is a JSON object", hint=f"It has one of {', '.join(forms)}.")
    findings = [unknown("field", name, members, path=name[:80]) for name in value if name not in members][:8]
    sent = [form for form in forms if form in value]
    if findings:
        raise ProblemError(422, "invalid_request", summarize(findings), errors=findings)
    if len(sent) != 1:
        message = f"the body has {' and '.join(sent) or 'no rows'}"
        raise invalid(message, hint=f"Send exactly one of {', '.join(forms)}.")
    parameters: Any = next((value[name] for name in _PARAMETERS if value.get(name) is not None), {})
    if not isinstance(parameters, dict):
        raise invalid("must be a JSON object", path="parameters", hint="It has the parameters of /predict.")
    form = sent[0]
    is_by_column = form == "inputs" and isinstance(value[form], dict)
    rows = _READERS[form](value[form])
    _check_count(len(rows), form)
    return Instances(form, rows, parameters, is_by_column)


def parse_csv(body: bytes, adapter: TaskAdapter) -> Instances:
    """Return the rows of a table, whose first line may be a header.

    Raises `ProblemError` 422.
    """
    names = {*_properties(adapter), *adapter.ignored_fields}
    try:
        lines = [line for line in csv.reader(StringIO(body.decode("utf-8-sig")), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid(f"the body is no CSV in UTF-8: {error}", hint="Quote texts that contain commas.") from None
    is_table = adapter.input_type.body is None
    cell = to_value if is_table else str
    if lines and set(lines[0]) <= names:
        rows: list[Any] = [
            {name: cell(text) for name, text in zip(lines[0], line, strict=True) if text}
            for line in _equally_long(lines)[1:]
        ]
    else:
        rows = [[cell(text) for text in line] for line in lines]
    _check_count(len(rows), "csv")
    return Instances("csv", rows)


def to_input(adapter: TaskAdapter, instance: Any, *, path: str) -> Mapping[str, Any]:
    """Return the input of `/predict` that a row is.

    A row is an object, a list in the order of columns, or the value of the field that the model reads. Raises
    `ProblemError` 422.
    """
    body, properties = adapter.input_type.body, _properties(adapter)
    if isinstance(instance, dict):
        if instance.keys() == {_BASE64} and _BASE64 not in properties and body:
            return {body: instance[_BASE64]}
        return {name: _to_field(value) for name, value in instance.items()}
    if not isinstance(instance, list):
        if body:
            return {body: instance}
    elif "pixels" in properties and instance and isinstance(instance[0], list):
        return {"pixels": instance}
    elif "history" in properties:
        return {"history": instance}
    elif body is None and len(instance) == len(properties):
        return dict(zip(properties, map(_to_field, instance), strict=True))
    elif len(instance) == 1 and body:
        return {body: instance[0]}
    names = ", ".join(list(properties)[:20])
    raise invalid(f"is no input of this model: {shorten(instance)}", path=path, hint=f"Send an object with {names}.")


def _properties(adapter: TaskAdapter) -> Mapping[str, Any]:
    """Return the fields of an input by name; describing them takes longer than to predict."""
    properties = _PROPERTIES.get(adapter)
    if properties is None:
        properties = _PROPERTIES[adapter] = adapter.input_schema().get("properties", {})
    return properties


def to_inputs(adapter: TaskAdapter, instances: Instances) -> list[Any]:
    """Return the inputs of `/predict` that rows are; raises `ProblemError` 422."""
    return [
        row if isinstance(row, bytes) else to_input(adapter, row, path=f"{instances.form}.{index}")
        for index, row in enumerate(instances.rows)
    ]


def encode_predictions(outputs: Sequence[Mapping[str, Any]]) -> bytes:
    """Encode the answer to rows of any form but the columns of TF Serving."""
    return orjson.dumps({"predictions": outputs})


def encode_outputs(instances: Instances, outputs: Sequence[Mapping[str, Any]]) -> bytes:
    """Encode the answer to rows, which has the form of the rows of TF Serving."""
    if instances.form != "inputs":
        return encode_predictions(outputs)
    return orjson.dumps({"outputs": by_column(outputs) if instances.is_by_column else outputs})


def by_column(outputs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the outputs as a list for each field."""
    names = dict.fromkeys(name for output in outputs for name in output)
    return {name: [output.get(name) for output in outputs] for name in names}


def invalid(message: str, *, path: str | None = None, hint: str | None = None) -> ProblemError:
    """Return the error 422 about a part of the body."""
    finding = Finding(code="invalid_request", message=message, path=path, hint=hint)
    return ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])


def _read_split(value: Any) -> list[Any]:
    """Read a DataFrame as `columns` and `data`.

    Without columns, the values of a row have the order of the model's.
    """
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        hint = 'Send {"columns": ["length"], "data": [[5.1]]}.'
        raise invalid("must be an object with data", path="dataframe_split", hint=hint)
    for name in value.keys() - {"columns", "data", "index"}:
        finding = unknown("field", str(name), ("columns", "data", "index"), path=f"dataframe_split.{str(name)[:80]}")
        raise ProblemError(422, "invalid_request", summarize([finding]), errors=[finding])
    columns = value.get("columns")
    rows: list[Any] = value["data"]
    if columns is None:
        return rows
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        hint = 'Send {"columns": ["length"], "data": [[5.1]]}.'
        raise invalid("must be a list of names", path="dataframe_split.columns", hint=hint)
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            message = f"must be a list of {len(columns)} values, one for each column"
            raise invalid(message, path=f"dataframe_split.data.{index}")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _read_list(form: str) -> Callable[[Any], list[Any]]:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise invalid("must be a list of rows", path=form, hint=f'Send {{"{form}": [{{"length": 5.1}}]}}.')
        return value

    return read


def _read_inputs(value: Any) -> list[Any]:
    """Read a list of rows, one text, or an object of lists by field."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return _read_list("inputs")(value)
    lengths = {name: len(column) if isinstance(column, list) else -1 for name, column in value.items()}
    if not lengths or len(set(lengths.values())) > 1 or -1 in lengths.values():
        hint = 'Send {"inputs": {"length": [5.1], "width": [3.5]}}.'
        raise invalid("must be lists of one length, a list per field", path="inputs", hint=hint)
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


_READERS: Final[Mapping[str, Callable[[Any], list[Any]]]] = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_list("dataframe_records"),
    "instances": _read_list("instances"),
    "inputs": _read_inputs,
}


def _check_count(count: int, form: str) -> None:
    if not 1 <= count <= MAX_INPUTS:
        raise invalid(f"has {count:,} rows", path=form, hint=f"Send 1 to {MAX_INPUTS:,} at a time.")


def _equally_long(lines: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]):
            message = f"has {len(line)} cells, and the first line has {len(lines[0])}"
            raise invalid(message, path=f"csv.{number}", hint="Send the same columns in each line.")
    return lines


def _to_field(value: Any) -> Any:
    """Return the value of a field: base64 of a file, and null for NaN.

    MLflow writes NaN for a missing value.
    """
    if isinstance(value, dict) and value.keys() == {_BASE64}:
        return value[_BASE64]
    return None if isinstance(value, float) and value != value else value
