"""A trained network on disk: the one thing that crosses from training to serving.

```
manifest.json          what it is, and size and sha256 of every other file; written last
weights.safetensors    every tensor of the network; absent where a graph came in alone
encoders/{slot}/       what turns raw values into arrays
task/state.json        what the task learned of its data: the labels
{graph}.onnx           the same network as a graph (`model`), where it could be exported and was found equal;
                       several for a task that answers in steps
trunk.onnx             of a network whose backbone is its base's, that backbone: `model.onnx` reads what it gives
```

Nothing in it is code, nothing is unpickled.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import Field, ValidationError

from ml.atomic_directory import atomic_directory
from ml.config import Config, Named
from ml.encoders import ENCODERS
from ml.errors import DamagedPackage, PackageError, UnknownName
from ml.package.checksums import digest, known_digest
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.encoders.base import Encoder
    from ml.registry import Registry
    from ml.tasks.base import Task

T = TypeVar("T")

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "weights.safetensors"
ADAPTER: Final = "adapter.safetensors"
"""What was learned beside weights that stayed as the base has them; it is among the weights as well."""
STATE: Final = "task/state.json"

MAX_MANIFEST_BYTES: Final = 64 << 20
MAX_WEIGHTS_HEADER_BYTES: Final = 16 << 20
"""A header names tensors; one larger than this is no header but an attack on memory."""


class Parity(Config):
    """How far the graph's answers lie from the network's on real rows."""

    rows: int
    max_abs_difference: float
    labels_changed: int | None = None
    """Rows whose best class is another one; null where there are no classes."""
    largest_output: float | None = None
    """What the difference is to be seen against."""


class Variant(Config):
    """The same graph made faster, and whether it is served: judged on rows that were not trained on.

    Of a graph with a trunk, its trunk is what is made faster.
    """

    name: str
    file: str | None = None
    """None where it is not served."""
    parity: Parity
    """Of its answers with those of the graph it would replace."""
    metric: str
    before: float
    after: float
    speed: float
    """Calls a processor second, against those of the graph."""
    served: bool
    reason: str
    alone: bool = False
    """Whether each row has to be a call of its own, since rows of one call would change each other's answers."""
    batch_difference: float | None = None
    """The largest difference between a row's answer alone and among others."""


class Graph(Config):
    """The ONNX file and what it reads and answers."""

    file: str
    trunk: str | None = None
    """A file that is run before it, and gives what `file` reads beside the inputs: the frozen backbone of a fine-tune.

    It holds nothing but that backbone, so that other fine-tunes of the same base have the same file, to the byte.
    """
    opset: int
    inputs: list[str]
    outputs: list[str]
    parity: Parity | None
    """None for a graph that came in alone: there is nothing to compare it with."""
    exporter: str | None = None
    variant: Variant | None = None
    """What was tried to make it faster, and is served, or came nearest to it; None where there was nothing to win."""
    other_variants: list[Variant] = Field(default_factory=list)
    """What was tried beside it."""

    @property
    def files(self) -> list[str]:
        """In the order in which they are run."""
        return [self.file] if self.trunk is None else [self.trunk, self.file]

    @property
    def served_files(self) -> list[str]:
        """The fastest that keep the metric, likewise; a variant is one of the first file, which is nearly all of it."""
        _, *rest = self.files
        return self.files if self.variant is None or self.variant.file is None else [self.variant.file, *rest]

    @property
    def served_alone(self) -> bool:
        """Whether what is served is asked for one row at a time."""
        return self.variant is not None and self.variant.file is not None and self.variant.alone


class Provenance(Config):
    """Where a model comes from. `spec` is the resolved one: it says how to train the same again."""

    spec: dict[str, Any] | None = None
    dataset_digest: str | None = None
    parent: str | dict[str, str] | None = None
    """sha256 of the base model's manifest; by slot, where several were started from."""
    models: dict[str, str] = Field(default_factory=dict)
    """Others that it has learned from: the spec's path that named one -> the sha256 of its manifest."""
    imported: dict[str, Any] | None = None
    """What it was before it came in from elsewhere: its format there, and what that calls it."""


class PackedFile(Config):
    """One file beside the manifest."""

    path: str
    bytes: int = Field(ge=0)
    sha256: str


class Manifest(Config):
    """All that can be known of a model without reading its weights."""

    format_version: int = FORMAT_VERSION
    task: Named | None = None
    """Null for a base model, which answers embeddings only."""
    architectures: dict[str, Named]
    """By slot, their options filled."""
    encoders: dict[str, Named] = Field(default_factory=dict)
    """By slot or target, with what they learned."""
    head: Named | None = None
    objective: Named | None = None
    labels: list[str] | None = None
    parameters: int
    metrics: dict[str, float | None] = Field(default_factory=dict)
    graphs: dict[str, Graph] = Field(default_factory=dict)
    """By the names that the task gives them: all it has, or none."""
    no_graph: str | None = None
    """Why there is none."""
    source: Provenance = Provenance()
    files: list[PackedFile] = Field(default_factory=list)


_served_encoders: WeakValueDictionary[tuple[str, ...], Encoder[Any]] = WeakValueDictionary()
"""By their kind and their files: a tokenizer takes ten times its file, and models of one base read with the same."""


class ModelPackage:
    """A folder whose manifest has been read and whose files are the ones it names."""

    def __init__(self, directory: Path, manifest: Manifest, *, verified: bool = True) -> None:
        self.directory = directory
        self.manifest = manifest
        self._files = {file.path: file for file in manifest.files}
        self._verified = verified

    @classmethod
    def create(
        cls,
        directory: Path,
        manifest: Manifest,
        *,
        files: Mapping[str, Path],
        encoders: Mapping[str, Encoder[Any]],
        state: Mapping[str, Any] | None = None,
    ) -> Self:
        """Write a package whole or not at all; `directory` must not exist.

        `files` are moved in under the names given (`weights.safetensors`, `model.onnx`). `encoders` and `files` of the
        manifest are filled in here.
        """
        with atomic_directory(directory) as staging:
            for name, path in files.items():
                shutil.move(path, staging / name)
            for slot, encoder in encoders.items():
                (staging / "encoders" / slot).mkdir(parents=True)
                encoder.save(staging / "encoders" / slot)
            if state is not None:
                (staging / STATE).parent.mkdir()
                (staging / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
            chosen = {
                slot: {"name": encoder.name, "config": encoder.config.model_dump(mode="json")}
                for slot, encoder in encoders.items()
            }
            packed = [_packed(path, staging) for path in sorted(staging.rglob("*")) if path.is_file()]
            complete = Manifest.model_validate({**dict(manifest), "encoders": chosen, "files": packed})
            (staging / MANIFEST).write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return cls(directory, complete)

    @classmethod
    def open(cls, directory: Path, *, verify: bool = True) -> Self:
        """Read and check a package; raises `PackageError`.

        `verify=False` believes sizes and skips checksums: for a folder of our own that was verified when it was made.
        """
        manifest = read_manifest(directory / MANIFEST)
        for file in manifest.files:
            _check(directory, file, digest if verify else None)
        package = cls(directory, manifest)
        if package.is_graph_alone:
            return package
        check_weights(package.file(WEIGHTS))
        return package

    @classmethod
    def to_serve(cls, directory: Path) -> Self:
        """The same, but a file is checked when it is asked for: only those of `served_paths` have to be there."""
        return cls(directory, read_manifest(directory / MANIFEST), verified=False)

    @property
    def served_paths(self) -> list[str]:
        """What is read in order to answer: the graphs that are served, or else the weights, and what is beside them."""
        graphs = {name for graph in self.manifest.graphs.values() for name in graph.served_files}
        beside = [path for path in self._files if not path.endswith((".onnx", ".safetensors"))]
        return [*beside, *(self.packed(name).path for name in sorted(graphs or {WEIGHTS}))]

    @property
    def served_files(self) -> dict[str, int]:
        """The bytes of these by sha256: what several models have is in memory once."""
        return {file.sha256: file.bytes for file in map(self.packed, self.served_paths)}

    @property
    def is_graph_alone(self) -> bool:
        """Whether it came in as a graph: it answers, but nothing can be trained from it."""
        return not self.manifest.architectures and bool(self.manifest.graphs)

    def encoders(self) -> dict[str, Encoder[Any]]:
        """By slot, as they were in training."""
        return {slot: self._encoder(slot, choice.name) for slot, choice in self.manifest.encoders.items()}

    def _encoder(self, slot: str, name: str) -> Encoder[Any]:
        top = f"encoders/{slot}/"
        folder = self._folder_of(f"{top}encoder.json")
        if self._verified:
            return _known(ENCODERS, name).load(folder)
        files = [f"{path[len(top) :]} {file.sha256}" for path, file in self._files.items() if path.startswith(top)]
        encoder = _served_encoders.get((name, *files))
        if encoder is None:
            encoder = _served_encoders[name, *files] = _known(ENCODERS, name).load(folder)
        return encoder

    def task(self) -> Task | None:
        """The task as it was in training; None for a base model."""
        choice = self.manifest.task
        if choice is None:
            return None
        kind = _known(TASKS, choice.name)
        try:
            state = json.loads(self.file(STATE).read_bytes())
            if not isinstance(state, dict):
                raise TypeError("it is not an object")
            return kind(kind.config_type.model_validate(choice.config), self.encoders(), state)
        except (OSError, ValueError, TypeError) as error:
            raise PackageError(f"what the task {choice.name} learned cannot be read: {error}") from error

    def file(self, name: str) -> Path:
        """The path of a file that the manifest names; raises `PackageError` for any other, and for a damaged one."""
        file = self.packed(name)
        if not self._verified:
            _check(self.directory, file, known_digest)
        return self.directory / name

    def packed(self, name: str) -> PackedFile:
        """What the manifest says of a file; raises `PackageError` where it names none such."""
        if name not in self._files:
            raise PackageError(f"the package has no file {name!r}")
        return self._files[name]

    def _folder_of(self, name: str) -> Path:
        """Where a file is, and all beside it are checked as well."""
        folder = self.file(name).parent
        for path in self._files:
            if path.startswith(f"{PurePosixPath(name).parent}/"):
                self.file(path)
        return folder


def _known(registry: Registry[T], name: str) -> type[T]:
    try:
        return registry[name]
    except UnknownName as error:
        raise PackageError(error.message, hint="Update Plinth, or export the model again.") from None


def _packed(path: Path, root: Path) -> PackedFile:
    name = path.relative_to(root).as_posix()
    return PackedFile(path=name, bytes=path.stat().st_size, sha256=digest(path))


def read_manifest(path: Path) -> Manifest:
    """A `manifest.json` of this version or an older one; raises `PackageError`."""
    hint = "Download or export the package again."
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise PackageError(f"{MANIFEST} is over {MAX_MANIFEST_BYTES:,} bytes", hint=hint)
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise PackageError(f"{path.parent.name} is no model package: it has no {MANIFEST}", hint=hint) from None
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"{MANIFEST} cannot be read: {error}", hint=hint) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        newer = f"the package has format {version}; this version of Plinth reads up to {FORMAT_VERSION}"
        raise PackageError(newer, hint="Update Plinth.")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PackageError(f"{MANIFEST} is not one of ours: {place}: {first['msg']}", hint=hint) from error


def _check(directory: Path, file: PackedFile, digest_of: Callable[[Path], str] | None) -> None:
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or "\\" in file.path or not path.parts:
        raise PackageError(f"the manifest names a file outside of the package: {file.path!r}")
    found = directory / path
    if not found.is_file() or not found.resolve().is_relative_to(directory.resolve()):
        raise DamagedPackage(f"{file.path} is missing", hint="Download or export the package again.")
    size = found.stat().st_size
    if size != file.bytes or (digest_of is not None and digest_of(found) != file.sha256):
        damaged = f"{file.path} is damaged: it is not the file that was packed ({size:,} of {file.bytes:,} bytes)"
        raise DamagedPackage(damaged, hint="Download or export the package again.")


def check_weights(path: Path) -> None:
    """Its header is bounded and is one; what is in it, the reader of tensors checks. Raises `PackageError`."""
    name = path.name
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(MAX_WEIGHTS_HEADER_BYTES, path.stat().st_size - 8):
                raise PackageError(f"{name} has a header of {length:,} bytes, which cannot be")
            if not isinstance(json.loads(file.read(length)), dict):
                raise PackageError(f"{name} has no header")
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"{name} cannot be read: {error}") from error
