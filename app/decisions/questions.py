"""Questions about one input, in the words of no protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: `predicate`: yes or no. `choice`: one of the options. `score`: a level, the options in order. `box`: a place.
QuestionKind = Literal["predicate", "choice", "score", "box"]


@dataclass(frozen=True, slots=True)
class Option:
    """One possible answer, described for models that do not know its name."""

    name: str
    description: str = ""

    @property
    def text(self) -> str:
        """Name and description as one text."""
        if not self.description or self.description == self.name:
            return self.name
        return f"{self.name}: {self.description}" if self.name else self.description


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and its field in the request, for errors."""

    path: str
    kind: QuestionKind
    instructions: str
    #: Those of a predicate are yes and no, in this order; a box has none.
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """The input of all questions: a text, an image, or fields."""

    #: None where the fields are the text, as JSON.
    plain_text: str | None = None
    #: Base64 of an image file.
    image: str | None = None
    fields: Mapping[str, Any] | None = None

    @property
    def text(self) -> str | None:
        """The text, or the fields as JSON."""
        return to_text(self.fields) if self.plain_text is None and self.fields is not None else self.plain_text


def predicate_options(instructions: str, yes: str, no: str) -> tuple[Option, Option]:
    """Return yes and no, described by their criteria or else by the question itself."""
    statement = yes or instructions
    return Option("true", statement), Option("false", no or f"It is not so: {statement}")


def to_text(value: Any) -> str:
    """Return a text, or an object or list as JSON; "" for null."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def to_input(value: Any) -> DecisionInput:
    """Return the input of a text, list or object; a model may read its fields."""
    if not isinstance(value, dict):
        return DecisionInput(to_text(value))
    image = value.get("image")
    return DecisionInput(image=data_of_url(image) if isinstance(image, str) else None, fields=value)


def data_of_url(url: str) -> str:
    """Return the base64 of a data URL; other texts stay as they are."""
    head, comma, data = url.partition(",")
    return data if comma and head.startswith("data:") else url
