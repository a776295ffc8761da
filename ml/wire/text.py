"""Text as input of `/predict`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field

from ml.wire.base import RawInput


def _decode(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start} is {value[error.start]:#04x}") from None


#: A string, or the body of a request as UTF-8.
Text = Annotated[str, BeforeValidator(_decode)]


def _require_content(value: str) -> str:
    if not value or value.isspace():
        raise ValueError("must contain more than whitespace")
    return value


#: A text that contains more than whitespace.
NonBlankText = Annotated[Text, Field(min_length=1, max_length=1_000_000), AfterValidator(_require_content)]


class TextInput(RawInput):
    """One text."""

    body = "text"

    text: NonBlankText

    def raw(self) -> str:
        """Return the text without surrounding whitespace, as it is read from files."""
        return self.text.strip()

    @classmethod
    def make_example(cls) -> Self:
        """A sentence."""
        return cls(text="A quiet, moving film.")
