"""Base class of Pydantic models in `ml`, and named choices with options."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

#: Number of channels, units or layers. The limit is above that of any network; it keeps a typing error from a worker.
Count = Annotated[int, Field(ge=1, le=65_536)]


_BOOLEAN: Final = PydanticCustomError("boolean_number", "Input should be a number, not true or false")


class Config(BaseModel):
    """Immutable model that rejects unknown fields, and booleans as numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _reject_booleans(cls, value: Any) -> Any:
        # A validator of each field would be shorter, but a union cannot be discriminated by a field that has one.
        fields = value if isinstance(value, dict) else {}
        booleans = [name for name in cls.model_fields if isinstance(fields.get(name), bool)]
        faults = [
            InitErrorDetails(type=_BOOLEAN, loc=(name,), input=fields[name])
            for name in booleans
            if _is_number(cls.model_fields[name].annotation)
        ]
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return value


def _is_number(annotation: Any) -> bool:
    """Return whether an annotation allows numbers, and no booleans."""
    types = {annotation, *_members(annotation)}
    return bool(types & {int, float}) and bool not in types


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the alternatives of a union, without their metadata; parts of containers are no alternatives."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for member in get_args(annotation):
            yield member
            yield from _members(member)


class Choice(Config):
    """Name from a registry with its options. A bare string is short for `{"name": ...}`."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


def _expand(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[Choice, BeforeValidator(_expand, json_schema_input_type=str | Choice)]
