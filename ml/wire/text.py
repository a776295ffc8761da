"""A text as it crosses the wire."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field

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


class TextInput(RawInput):
    """One text."""

    body = "text"

    text: Text = Field(min_length=1, max_length=1_000_000)

    def raw(self) -> str:
        """Without the blanks around it, as it is read from files too."""
        return self.text.strip()

    @classmethod
    def drawn(cls) -> Self:
        """A sentence."""
        return cls(text="A quiet, moving film.")
