"""Text as input of `/predict`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ml.wire.base import RawInput, Wire

#: Field of an input, and column of its row.
LONG_TEXTS: Final = "long_texts"


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


class LongTextInput(TextInput):
    """One text, and how one is read that is longer than the model reads."""

    long_texts: Literal["cut", "windows"] = Field(
        "cut",
        exclude_if=lambda value: value == "cut",
        description="Reading of a text that is longer than the model reads: `cut` reads its beginning; `windows` reads "
        "all of it in overlapping windows, and averages their probabilities or embeddings",
    )

    def columns(self, name: str) -> dict[str, Any]:
        """Return the columns of a row: the text as `name`, and perhaps `long_texts`.

        `long_texts` is present if the text is to be read in windows.
        """
        return {name: self.raw(), **({LONG_TEXTS: self.long_texts} if self.long_texts == "windows" else {})}


class Truncation(BaseModel):
    """Length of a text that was longer than the model reads."""

    model_config = ConfigDict(extra="forbid")

    kept: int = Field(ge=0, description="Tokens that were read")
    of: int = Field(ge=0, description="Tokens of the text")


class TextOutput(Wire):
    """Output for a text, which may have been cut."""

    truncated: Truncation | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Present if the text is longer than the model reads, so that the rest had no effect",
    )


class LongTextOutput(TextOutput):
    """Output for a text, which may have been cut, or read in several windows."""

    windows: int | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="With `long_texts: windows`, the number of windows whose outputs were averaged",
    )
