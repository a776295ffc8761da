"""What is asked where models come in and go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ml.config import Config
from ml.errors import Finding
from ml.spec import MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.catalog import Catalog

Format = Literal["huggingface"]


class Import(Config):
    """A model that was trained elsewhere: a zip of a Hugging Face folder or of a Plinth package, or one ONNX file.

    An ONNX file that reads texts comes in a zip with its tokenizer.
    """

    name: str = Field(pattern=MODEL_NAME, description="The same name again makes the next version.")
    task: str | None = Field(
        None, max_length=100, description="What it is for. An ONNX file does not say; the others know it themselves."
    )
    labels: list[str] | None = Field(
        None,
        min_length=2,
        max_length=50_000,
        description="The classes of an ONNX file in the order of its outputs, where the file does not say.",
    )


class Export(Config):
    """A model on its way to another library."""

    kind: Literal["export"]
    model: str = Field(max_length=200, description="`name`, `name@3` or `name@alias`.")
    format: Format = "huggingface"


def check_export(spec: Export, catalog: Catalog, architectures: Mapping[str, str]) -> list[Finding]:
    """Why a model of these architectures, by slot, cannot go out in this format; empty where it can."""
    known = [name for name, entry in catalog.architectures.items() if spec.format in entry.exports]
    if len(architectures) == 1 and set(architectures.values()) <= set(known):
        return []
    found = " and ".join(architectures.values()) or "a graph alone"
    message = f"{spec.format} has no format for {found}; it has one for {', '.join(known)}"
    return [Finding(code="does_not_fit", path="model", message=message, found=found, expected=", ".join(known))]
