"""Wire models: base classes of the inputs and outputs of `/predict`."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from ml.data.files.base64_data import from_text
from ml.errors import MAX_SHOWN_CHARACTERS, Finding, InputError, shorten, unknown
from ml.wire.schema_description import describe_field, describe_schema

T = TypeVar("T")

#: Faults reported for one input; in a long list, every item may be wrong.
MAX_FAULTS: Final = 8


class Wire(BaseModel):
    """Base of an input or output. Strict: neither `true` nor `"1"` is a number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    #: Field that a request body without JSON (a PNG, a text) fills; None if the input must be JSON.
    body: ClassVar[str | None] = None

    @classmethod
    def of(cls, value: Any, *, parameters: Mapping[str, Any]) -> Self:
        """Parse an input: a JSON object, the bytes of a body, or an instance.

        `parameters` are fields that a request sets for all of its inputs; a field of the input itself takes precedence.
        Raises `InputError`.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, bytes):
            if cls.body is None:
                raise InputError("this model reads JSON", hint='Send {"inputs": [{...}]} as application/json.')
            value = {cls.body: value}
        if not isinstance(value, Mapping):
            raise InputError("an input is a JSON object", hint=_list_fields(cls))
        fields = {**parameters, **value}
        # Removed before validation, which would report each of them: there may be a million.
        unknown_names = list(islice((name for name in fields if name not in cls.model_fields), MAX_FAULTS))
        if unknown_names:
            fields = {name: fields[name] for name in cls.model_fields if name in fields}
        try:
            instance = cls.model_validate({name: _plain(field) for name, field in fields.items()})
        except ValidationError as error:
            raise InputError.of([*_faults(error, cls), *_unknown(unknown_names, cls)]) from None
        if unknown_names:
            raise InputError.of(_unknown(unknown_names, cls))
        return instance

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.model_dump(mode="json")


class RawInput(Wire, ABC):
    """Input of one value, which an encoder reads."""

    @classmethod
    def value_of(cls, value: Any, *, parameters: Mapping[str, Any]) -> Any:
        """Parse an input (see `of`) and return the value for a row; raises `InputError`."""
        return cls.of(value, parameters=parameters).raw()

    @abstractmethod
    def raw(self) -> Any:
        """Return the value for a row; raises `InputError` if it cannot be decoded."""

    @classmethod
    @abstractmethod
    def make_example(cls) -> Self:
        """Make an example input."""


def decode_field(decode: Callable[[bytes], T], data: bytes, *, field: str) -> T:
    """Decode the file in a field; adds the field to the paths of an `InputError`."""
    try:
        return decode(data)
    except InputError as error:
        raise error.with_paths(lambda within: f"{field}.{within}".rstrip(".")) from None


def _plain(value: Any) -> Any:
    """Convert 2.0 to 2: JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _faults(error: ValidationError, model: type[Wire]) -> list[Finding]:
    """The first faults of a validation, at most `MAX_FAULTS`."""
    properties = model.model_json_schema()["properties"]
    findings = []
    for fault in error.errors(include_url=False)[:MAX_FAULTS]:
        path = fault["loc"]
        field = properties.get(path[0], {}) if path else {}
        findings.append(
            Finding(
                code=fault["type"],
                message=fault["msg"].removeprefix("Value error, "),
                path=".".join(map(str, path)) or None,
                found=shorten(fault["input"]) if path and fault["type"] != "missing" else None,
                expected=describe_schema(field) if field else None,
                hint=describe_field(str(path[0]), field) if field else _list_fields(model),
            )
        )
    return findings


def _unknown(names: Iterable[str], model: type[Wire]) -> list[Finding]:
    fields = model.model_fields
    findings = [
        unknown(
            "field",
            name,
            fields,
            path=name if len(name) <= MAX_SHOWN_CHARACTERS else f"{name[: MAX_SHOWN_CHARACTERS - 1]}…",
            default_hint="Leave it out.",
        )
        for name in names
    ]
    message = f"unknown field; known: {', '.join(fields)}"
    return [replace(finding, code="extra_forbidden", message=message) for finding in findings]


def _list_fields(model: type[Wire]) -> str:
    return f"Its fields: {', '.join(model.model_fields)}."


def _from_base64(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a string of base64")  # noqa: TRY004 - Pydantic collects ValueError
    data = from_text(value)
    if data is None:
        raise ValueError("is not base64")
    return data


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_to_base64, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
