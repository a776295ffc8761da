"""A text as it crosses the wire."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field

from ml.wire.base import RawInput


def _decoded(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start} is {value[error.start]:#04x}") from None


Text = Annotated[str, BeforeValidator(_decoded)]
"""A string; the body of a request, as UTF-8."""


def _said(value: str) -> str:
    if not value or value.isspace():
        raise ValueError("must hold more than blanks")
    return value


Said = Annotated[Text, Field(min_length=1, max_length=1_000_000), AfterValidator(_said)]
"""A text that has something in it."""


class TextInput(RawInput):
    """One text."""

    body = "text"

    text: Said

    def raw(self) -> str:
        """Without the blanks around it, as it is read from files too."""
        return self.text.strip()

    @classmethod
    def drawn(cls) -> Self:
        """A sentence."""
        return cls(text="A quiet, moving film.")
