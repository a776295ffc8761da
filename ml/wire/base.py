"""What crosses the wire at `/predict`: inputs and outputs as JSON, and the forms that raw values take in it."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from ml.embedded import from_text
from ml.errors import InputError


class Wire(BaseModel):
    """Base of a task's input and output."""

    model_config = ConfigDict(extra="forbid")

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
            raise InputError(f"an input is a JSON object; its fields: {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate({**parameters, **given})
        except ValidationError as error:
            raise InputError(_told(error, cls)) from None

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


def _told(error: ValidationError, kind: type[Wire]) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in fault["loc"])
        unknown = fault["type"] == "extra_forbidden"
        message = f"unknown field; known: {', '.join(kind.model_fields)}" if unknown else fault["msg"]
        faults.append(f"{place}: {message}" if place else message)
    return "; ".join(faults).replace("Value error, ", "")


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
