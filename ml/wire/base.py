"""What crosses the wire at `/predict`: inputs and outputs as JSON, and the forms that raw values take in it."""

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
from ml.errors import MAX_SHOWN_CHARACTERS, Finding, InputError, shortened, unknown
from ml.wire.schema_description import in_words

T = TypeVar("T")

MOST_FAULTS: Final = 8
"""So many are told of one input: of a long list, every item may be wrong."""


class Wire(BaseModel):
    """Base of a task's input and output. Strict: neither `true` nor `"1"` is a number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    body: ClassVar[str | None] = None
    """The field that a bare body (a PNG, a text) stands for."""

    @classmethod
    def of(cls, given: Any, *, parameters: Mapping[str, Any]) -> Self:
        """An input in any of its forms: JSON, the thing itself as bytes, or already read. Raises `InputError`.

        `parameters` are fields that a request sets for all of its inputs; what an input says itself goes before.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, bytes):
            if cls.body is None:
                raise InputError("this model reads JSON", hint='Send {"inputs": [{...}]} as application/json.')
            given = {cls.body: given}
        if not isinstance(given, Mapping):
            raise InputError("an input is a JSON object", hint=_fields_of(cls))
        asked = {**parameters, **given}
        # Set aside before they are counted one by one: there may be a million.
        foreign = list(islice((name for name in asked if name not in cls.model_fields), MOST_FAULTS))
        known = {name: asked[name] for name in cls.model_fields if name in asked} if foreign else asked
        try:
            read = cls.model_validate({name: _plain(value) for name, value in known.items()})
        except ValidationError as error:
            raise InputError.of([*_faults(error, cls), *_unknown(foreign, cls)]) from None
        if foreign:
            raise InputError.of(_unknown(foreign, cls))
        return read

    def told(self) -> dict[str, Any]:
        """As it crosses the wire: what JSON can hold."""
        return self.model_dump(mode="json")


class RawInput(Wire, ABC):
    """An input that is one value of one kind: what an encoder reads, and nothing else."""

    @classmethod
    def value_of(cls, given: Any, *, parameters: Mapping[str, Any]) -> Any:
        """What a row holds, of an input in any of its forms; raises `InputError`."""
        return cls.of(given, parameters=parameters).raw()

    @abstractmethod
    def raw(self) -> Any:
        """What a row holds; raises `InputError` where the body is no such thing."""

    @classmethod
    @abstractmethod
    def drawn(cls) -> Self:
        """An example."""


def decoded(decode: Callable[[bytes], T], data: bytes, *, field: str) -> T:
    """What `decode` makes of the file in a field; an `InputError` of it tells the field."""
    try:
        return decode(data)
    except InputError as error:
        raise error.moved(lambda within: f"{field}.{within}".rstrip(".")) from None


def _plain(value: Any) -> Any:
    """JSON has one kind of number: 2.0 is as whole as 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _faults(error: ValidationError, kind: type[Wire]) -> list[Finding]:
    """The first few."""
    properties = kind.model_json_schema()["properties"]
    found = []
    for fault in error.errors(include_url=False)[:MOST_FAULTS]:
        place = fault["loc"]
        field = properties.get(place[0], {}) if place else {}
        found.append(
            Finding(
                code=fault["type"],
                message=fault["msg"].removeprefix("Value error, "),
                path=".".join(map(str, place)) or None,
                found=shortened(fault["input"]) if place and fault["type"] != "missing" else None,
                expected=in_words(field) if field else None,
                hint=_what_to_send(str(place[0]), field) if field else _fields_of(kind),
            )
        )
    return found


def _what_to_send(name: str, field: Mapping[str, Any]) -> str:
    meant = field.get("description", "").rstrip(".")
    return f"{name} takes {in_words(field)}." + (f" {meant}." if meant else "")


def _unknown(names: Iterable[str], kind: type[Wire]) -> list[Finding]:
    known = kind.model_fields
    found = [
        unknown(
            "field",
            name,
            known,
            path=name if len(name) <= MAX_SHOWN_CHARACTERS else f"{name[: MAX_SHOWN_CHARACTERS - 1]}…",
            otherwise="Leave it out.",
        )
        for name in names
    ]
    message = f"unknown field; known: {', '.join(known)}"
    return [replace(each, code="extra_forbidden", message=message) for each in found]


def _fields_of(kind: type[Wire]) -> str:
    return f"Its fields: {', '.join(kind.model_fields)}."


def _from_base64(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a string of base64")  # noqa: TRY004 - Pydantic collects ValueError
    found = from_text(value)
    if found is None:
        raise ValueError("is not base64")
    return found


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_to_base64, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
