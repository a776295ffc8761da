"""Import and export of models: the request of each, and the check of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import TypeAliasType

from ml.config import Config
from ml.errors import Finding
from ml.licenses import MAX_LICENSE_CHARACTERS
from ml.spec.schema import MODEL_NAME

if TYPE_CHECKING:
    from ml.package.manifest import Manifest
    from ml.spec.catalog import Catalog

ModelFormat = TypeAliasType("ModelFormat", Literal["huggingface", "onnx"])


class Import(Config):
    """Import of a model that was trained elsewhere.

    The file is a zip of a Hugging Face folder or of a Plinth package, or one ONNX file.
    An ONNX file that reads texts needs a zip with its tokenizer.
    """

    name: str = Field(pattern=MODEL_NAME, description="Model name; an existing name gets a new version.")
    task: str | None = Field(
        None, max_length=100, description="Task of the model. Required for an ONNX file; other formats contain it."
    )
    labels: list[str] | None = Field(
        None,
        min_length=2,
        max_length=50_000,
        description="Class names of an ONNX file, in the order of its outputs, if the file does not contain them.",
    )
    license: str | None = Field(
        None,
        max_length=MAX_LICENSE_CHARACTERS,
        pattern=r"\S",
        description="SPDX identifier, or free text. Read from README or LICENSE in the file if absent.",
    )


class Export(Config):
    """Export of a model to another library."""

    kind: Literal["export"]
    model: str = Field(max_length=200, description="`name`, `name@3` or `name@alias`.")
    format: ModelFormat = Field(
        "huggingface", description="`onnx` exports graphs with the code and files to run them in ONNX Runtime alone."
    )
    opset: int | None = Field(
        None, ge=15, le=20, description="ONNX opset, for the format onnx only; default: that of the served graph."
    )

    @model_validator(mode="after")
    def _opset_of_onnx(self) -> Self:
        if self.opset is not None and self.format != "onnx":
            raise ValueError("opset applies to the format onnx only; leave it out")
        return self


def check_export(spec: Export, catalog: Catalog, manifest: Manifest) -> list[Finding]:
    """Return why a model cannot be exported in this format; empty if it can."""
    if spec.format == "onnx":
        return _check_onnx(spec, manifest)
    architectures = {slot: choice.name for slot, choice in manifest.architectures.items()}
    exportable = [name for name, entry in catalog.architectures.items() if spec.format in entry.exports]
    if len(architectures) == 1 and set(architectures.values()) <= set(exportable):
        return []
    names = " and ".join(architectures.values()) or "an ONNX graph without weights"
    expected = ", ".join(exportable)
    message = f"{spec.format} has no format for {names}; it has one for {expected}"
    return [Finding(code="does_not_fit", path="model", message=message, found=names, expected=expected)]


def _check_onnx(spec: Export, manifest: Manifest) -> list[Finding]:
    if not manifest.graphs:
        message = f"the model has no ONNX graph: {manifest.no_graph_reason or 'none was made'}"
        return [Finding(code="does_not_fit", path="model", message=message, hint="Choose another format.")]
    if spec.opset is not None and not manifest.architectures:
        message = "the model was imported as an ONNX graph, which cannot be written in another opset"
        return [Finding(code="does_not_fit", path="opset", message=message, hint="Leave opset out.")]
    return []
