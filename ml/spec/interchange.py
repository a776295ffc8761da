"""What is asked where models come in and go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from ml.config import Config
from ml.errors import Finding
from ml.spec.schema import MODEL_NAME

if TYPE_CHECKING:
    from ml.package.package import Manifest
    from ml.spec.catalog import Catalog

Format = Literal["huggingface", "onnx"]


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
    format: Format = Field(
        "huggingface", description="onnx: graphs, and all it takes to run them by ONNX Runtime alone."
    )
    opset: int | None = Field(
        None, ge=15, le=20, description="Of ONNX; where absent, as the model is served. Needs the format onnx."
    )

    @model_validator(mode="after")
    def _opset_of_onnx(self) -> Self:
        if self.opset is not None and self.format != "onnx":
            raise ValueError("only the format onnx has an opset")
        return self


def check_export(spec: Export, catalog: Catalog, manifest: Manifest) -> list[Finding]:
    """Why a model cannot go out in this format; empty where it can."""
    if spec.format == "onnx":
        return _check_onnx(spec, manifest)
    architectures = {slot: choice.name for slot, choice in manifest.architectures.items()}
    known = [name for name, entry in catalog.architectures.items() if spec.format in entry.exports]
    if len(architectures) == 1 and set(architectures.values()) <= set(known):
        return []
    found = " and ".join(architectures.values()) or "a graph alone"
    message = f"{spec.format} has no format for {found}; it has one for {', '.join(known)}"
    return [Finding(code="does_not_fit", path="model", message=message, found=found, expected=", ".join(known))]


def _check_onnx(spec: Export, manifest: Manifest) -> list[Finding]:
    if not manifest.graphs:
        message = f"the model has no ONNX graph: {manifest.no_graph or 'none was made'}"
        return [Finding(code="does_not_fit", path="model", message=message, hint="Ask for another format.")]
    if spec.opset is not None and not manifest.architectures:
        message = "the model came in as a graph, and cannot be written in another opset"
        return [Finding(code="does_not_fit", path="opset", message=message, hint="Leave opset out.")]
    return []
