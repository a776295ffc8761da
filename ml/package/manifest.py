"""The manifest of a model package: everything about a model except its weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, ValidationError

from ml.config import Config, Named
from ml.errors import PackageError
from ml.package import version_1

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION: Final = 2
MANIFEST: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 64 << 20
HINT: Final = "Download or export the package again."


class Parity(Config):
    """Difference between the outputs of graph and network on real rows."""

    rows: int
    max_abs_difference: float
    labels_changed: int | None = Field(
        None, description="Rows whose most probable class differs; null without classes."
    )
    max_abs_output: float | None = Field(
        None, description="Largest absolute output, to compare `max_abs_difference` with."
    )


class Variant(Config):
    """A faster (quantized) form of a graph, compared with it on validation rows.

    If the graph has a trunk, the variant is one of the trunk.
    """

    name: str
    file: str | None = Field(None, description="Null if the variant is not served.")
    parity: Parity = Field(description="Difference from the outputs of the original graph.")
    metric: str
    before: float = Field(description="Value of `metric` with the original graph.")
    after: float = Field(description="Value of `metric` with the variant.")
    speedup: float = Field(description="Calls per processor second, divided by those of the original graph.")
    served: bool
    reason: str = Field(description="Why it is or is not served.")
    single_row: bool = Field(
        default=False,
        description="Whether each call must have one row, since rows of one call change each other's outputs.",
    )
    batch_difference: float | None = Field(
        None, description="Largest difference between the output of a row alone and in a batch."
    )


class Graph(Config):
    """An ONNX file with its inputs and outputs."""

    file: str
    trunk: str | None = Field(
        None,
        description=(
            "ONNX file of a frozen backbone, run before `file`, which reads its output. Fine-tuned models of one base "
            "have the same file, byte for byte."
        ),
    )
    opset: int
    inputs: list[str]
    outputs: list[str]
    parity: Parity | None = Field(
        description="Null for a graph that was imported without weights: there is nothing to compare it with."
    )
    exporter: str | None = None
    variant: Variant | None = Field(
        None, description="The variant that is served, or the fastest that was rejected; null if none was tried."
    )
    other_variants: list[Variant] = Field(default_factory=list, description="Other variants that were tried.")

    @property
    def files(self) -> list[str]:
        """ONNX files in the order in which they run."""
        return [self.file] if self.trunk is None else [self.trunk, self.file]

    @property
    def served_files(self) -> list[str]:
        """Files that are served, in the order in which they run.

        A variant replaces the first file only, which does nearly all of the work.
        """
        _, *others = self.files
        return self.files if self.variant is None or self.variant.file is None else [self.variant.file, *others]

    @property
    def is_served_row_by_row(self) -> bool:
        """True if each call of the served files must have one row."""
        return self.variant is not None and self.variant.file is not None and self.variant.single_row


class Size(Config):
    """One of the nested sizes of a model, whose layers have fewer units."""

    size: float
    path: str | None = Field(description="Folder of its own package below this one; null for the whole model.")
    parameters: int
    operations: int = Field(description="Multiply-adds for one input.")
    latency_ms: dict[str, float] = Field(
        description="Median milliseconds of a request by its number of inputs, where the model was trained."
    )
    metrics: dict[str, float | None] = Field(default_factory=dict)


class Exit(Config):
    """A size at which rows leave that it is sure of."""

    size: float
    files: dict[str, list[str]] = Field(description="Paths of its ONNX files by graph, in running order.")
    temperature: float = Field(description="Divides its logits.")
    threshold: float | None = Field(
        description="Smallest probability of the likeliest class with which a row leaves; null where all rows do."
    )


class LicensedPart(Config):
    """License of a model, or of a dataset or model that it was made of."""

    kind: str = Field(description="`dataset` or `model`.")
    reference: str
    license: str = Field(description="SPDX identifier, or free text.")


class Provenance(Config):
    """Origin of a model; its resolved `spec` can be trained again."""

    spec: dict[str, Any] | None = None
    dataset_digest: str | None = None
    parent: str | dict[str, str] | None = Field(
        None, description="SHA-256 of the manifest of the base model; by slot if there are several."
    )
    models: dict[str, str] = Field(
        default_factory=dict,
        description="Other models used in training: path of the option in the spec -> SHA-256 of the manifest.",
    )
    imported: dict[str, Any] | None = Field(
        None, description="Format and names of the model that was imported; null for a trained one."
    )
    licenses: list[LicensedPart] = Field(
        default_factory=list, description="Those of the model and of all data and models it was made of, where known."
    )


class FileEntry(Config):
    """A file of the package other than the manifest."""

    path: str
    bytes: int = Field(ge=0)
    sha256: str


class Manifest(Config):
    """Content of `manifest.json`."""

    format_version: int = FORMAT_VERSION
    task: Named | None = Field(None, description="Null for a base model, which only computes embeddings.")
    architectures: dict[str, Named] = Field(description="By slot, with all options.")
    encoders: dict[str, Named] = Field(
        default_factory=dict, description="By slot or target, with the options learned from the data."
    )
    head: Named | None = None
    objective: Named | None = None
    labels: list[str] | None = None
    parameters: int
    metrics: dict[str, float | None] = Field(default_factory=dict)
    graphs: dict[str, Graph] = Field(
        default_factory=dict, description="By the names that the task gives them; all of them or none."
    )
    sizes: list[Size] = Field(
        default_factory=list, description="Nested sizes, the largest first; empty for a model of one size."
    )
    exits: list[Exit] = Field(
        default_factory=list, description="Sizes that run one after another, the smallest first; empty without exits."
    )
    no_graph_reason: str | None = Field(None, description="Why there are no graphs.")
    source: Provenance = Provenance()
    files: list[FileEntry] = Field(default_factory=list)


def read_manifest(path: Path) -> Manifest:
    """Read a `manifest.json` of this or an earlier format version.

    Raises:
        PackageError: The file is absent, too large or invalid, or of a later format version.
    """
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise PackageError(f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES:,} bytes", hint=HINT)
        return parse_manifest(path.read_bytes())
    except FileNotFoundError:
        raise PackageError(f"{path.parent.name} is not a model package: it has no {MANIFEST}", hint=HINT) from None
    except OSError as error:
        raise PackageError(f"{MANIFEST} cannot be read: {error}", hint=HINT) from error


def parse_manifest(text: bytes) -> Manifest:
    """Parse the bytes of a `manifest.json` of this or an earlier format version; raises `PackageError`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{MANIFEST} cannot be read: {error}", hint=HINT) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        message = f"the package has format version {version}; this release reads versions up to {FORMAT_VERSION}"
        raise PackageError(message, hint="Update Plinth.")
    if version == version_1.FORMAT_VERSION:
        content = version_1.upgrade_manifest(content)
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PackageError(f"{MANIFEST} is invalid: {place}: {first['msg']}", hint=HINT) from error
