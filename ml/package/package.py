"""Model packages: the folders by which trained networks go from training to serving.

```
manifest.json          description of the model; size and SHA-256 of each other file; written last
weights.safetensors    all tensors of the network; absent for a model that was imported as a graph only
adapter.safetensors    the tensors that a fine-tuning trained, if the others are those of the base; also in the weights
encoders/{slot}/       conversion of raw values to arrays
task/state.json        what the task learned from its data: the labels
task/histories.bin     items of the users of the training data, by which a request may name a user
task/titles.json       titles of the items in the table of items, by which people read recommendations
{graph}.onnx           the network as an ONNX graph (`model`) if it could be exported with equal outputs;
                       several for a task that predicts in steps
training.json          digests of the weights during training, to prove that a repeated training is the same
sizes/{size}/          packages of the nested sizes of the model, which are smaller networks
trunk.onnx             the backbone of a network that shares it with its base; `model.onnx` reads its output
```

A package contains no code, and nothing in it is unpickled.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from weakref import WeakValueDictionary

from ml.atomic_directory import atomic_directory
from ml.encoders import ENCODERS
from ml.errors import DamagedPackage, PackageError, UnknownName
from ml.package.checksums import cached_digest, digest
from ml.package.manifest import HINT, MANIFEST, FileEntry, LicensedPart, Manifest, read_manifest
from ml.package.training_trace import TRACE
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.encoders.base import Encoder
    from ml.registry import Registry
    from ml.tasks.base import Task

T = TypeVar("T")

WEIGHTS: Final = "weights.safetensors"
ADAPTER: Final = "adapter.safetensors"
#: Folder of the packages of smaller sizes.
SIZES: Final = "sizes/"
TASK_FOLDER: Final = "task/"
STATE: Final = f"{TASK_FOLDER}state.json"

#: A header lists tensors; a larger one is an attack on memory.
MAX_WEIGHTS_HEADER_BYTES: Final = 16 << 20

#: Encoders of served packages by name and checksums of their files. A tokenizer takes ten times the size of its file
#: in memory, and models of one base have the same.
_served_encoders: WeakValueDictionary[tuple[str, ...], Encoder[Any]] = WeakValueDictionary()


class ModelPackage:
    """A package folder with its manifest."""

    def __init__(self, directory: Path, manifest: Manifest, *, verified: bool = True) -> None:
        self.directory = directory
        self.manifest = manifest
        self._entries = {entry.path: entry for entry in manifest.files}
        self._is_verified = verified

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
        """Write a package, either complete or not at all.

        Args:
            directory: Must not exist.
            manifest: Its `encoders` and `files` are filled in here.
            files: Files and folders to move into the package, by their names there (`weights.safetensors`, `task`).
            encoders: Encoders by slot or target.
            state: State of the task; None for a base model.
        """
        with atomic_directory(directory) as staging:
            for name, path in files.items():
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, staging / name)
            for slot, encoder in encoders.items():
                (staging / "encoders" / slot).mkdir(parents=True)
                encoder.save(staging / "encoders" / slot)
            if state is not None:
                (staging / STATE).parent.mkdir(exist_ok=True)
                (staging / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
            choices = {
                slot: {"name": encoder.name, "config": encoder.config.model_dump(mode="json")}
                for slot, encoder in encoders.items()
            }
            entries = [_make_entry(path, staging) for path in sorted(staging.rglob("*")) if path.is_file()]
            complete = Manifest.model_validate({**dict(manifest), "encoders": choices, "files": entries})
            (staging / MANIFEST).write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return cls(directory, complete)

    def state_licenses(self, licenses: Sequence[LicensedPart]) -> None:
        """Write the licenses of all that the model was made of into the manifest."""
        self.update_source(licenses=list(licenses))

    def update_source(self, **changes: Any) -> None:
        """Change the origin of the model in its manifest."""
        source = self.manifest.source.model_copy(update=changes)
        self.update(source=source)

    def update(self, **changes: Any) -> None:
        """Change fields of the manifest."""
        self.manifest = self.manifest.model_copy(update=changes)
        (self.directory / MANIFEST).write_text(self.manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def open(cls, directory: Path, *, verify: bool = True) -> Self:
        """Read a package and check its files; raises `PackageError`.

        With `verify=False` sizes are checked and checksums are not, for a folder that this service verified when it
        wrote it.
        """
        manifest = read_manifest(directory / MANIFEST)
        for entry in manifest.files:
            _check_file(directory, entry, digest if verify else None)
        package = cls(directory, manifest)
        if package.has_graphs_only:
            return package
        check_weights(package.file(WEIGHTS))
        return package

    @classmethod
    def open_lazily(cls, directory: Path) -> Self:
        """Read a package and check each file on its first use.

        Only the files of `served_paths` must exist.
        """
        return cls(directory, read_manifest(directory / MANIFEST), verified=False)

    @property
    def served_paths(self) -> list[str]:
        """Files that predictions need: served graphs or else weights, encoders, task state."""
        graphs = {name for graph in self.manifest.graphs.values() for name in graph.served_files}
        graphs |= {name for stage in self.manifest.exits for names in stage.files.values() for name in names}
        others = [
            path
            for path in self._entries
            if not path.endswith((".onnx", ".safetensors")) and path != TRACE and not path.startswith(SIZES)
        ]
        return [*others, *(self.entry(name).path for name in sorted(graphs or {WEIGHTS}))]

    @property
    def served_bytes(self) -> dict[str, int]:
        """Sizes of the files of `served_paths` by SHA-256; models share equal files in memory."""
        return {entry.sha256: entry.bytes for entry in map(self.entry, self.served_paths)}

    @property
    def has_graphs_only(self) -> bool:
        """True for a model imported as ONNX graphs: it predicts, but cannot be trained."""
        return not self.manifest.architectures and bool(self.manifest.graphs)

    def encoders(self) -> dict[str, Encoder[Any]]:
        """Load the encoders, by slot or target."""
        return {slot: self._load_encoder(slot, choice.name) for slot, choice in self.manifest.encoders.items()}

    def _load_encoder(self, slot: str, name: str) -> Encoder[Any]:
        prefix = f"encoders/{slot}/"
        folder = self._check_folder_of(f"{prefix}encoder.json")
        if self._is_verified:
            return _look_up(ENCODERS, name).load(folder)
        checksums = [
            f"{path[len(prefix) :]} {entry.sha256}" for path, entry in self._entries.items() if path.startswith(prefix)
        ]
        encoder = _served_encoders.get((name, *checksums))
        if encoder is None:
            encoder = _served_encoders[name, *checksums] = _look_up(ENCODERS, name).load(folder)
        return encoder

    def task(self) -> Task | None:
        """Load the task with its learned state; None for a base model."""
        choice = self.manifest.task
        if choice is None:
            return None
        task_type = _look_up(TASKS, choice.name)
        try:
            state = json.loads(self.file(STATE).read_bytes())
            if not isinstance(state, dict):
                raise TypeError("it is not an object")
            task = task_type(task_type.config_type.model_validate(choice.config), self.encoders(), state)
            task.load_files({PurePosixPath(path).name: self.file(path) for path in self.task_files})
            return task
        except (OSError, ValueError, TypeError) as error:
            raise PackageError(f"the state of the task {choice.name} cannot be read: {error}", hint=HINT) from error

    @property
    def task_files(self) -> list[str]:
        """Files that the task stores beside its state."""
        return [path for path in self._entries if path.startswith(TASK_FOLDER) and path != STATE]

    def file(self, name: str) -> Path:
        """Return the path of a file.

        Raises:
            PackageError: The manifest does not list the file, or it is damaged.
        """
        entry = self.entry(name)
        if not self._is_verified:
            _check_file(self.directory, entry, cached_digest)
        return self.directory / name

    def entry(self, name: str) -> FileEntry:
        """Return the entry of a file in the manifest; raises `PackageError` without one."""
        if name not in self._entries:
            raise PackageError(f"the package has no file {name!r}", hint=HINT)
        return self._entries[name]

    def _check_folder_of(self, name: str) -> Path:
        """Return the folder of a file after checking all files in it."""
        folder = self.file(name).parent
        for path in self._entries:
            if path.startswith(f"{PurePosixPath(name).parent}/"):
                self.file(path)
        return folder


def _look_up(registry: Registry[T], name: str) -> type[T]:
    try:
        return registry[name]
    except UnknownName as error:
        raise PackageError(error.message, hint="Update Plinth, or export the model again.") from None


def _make_entry(path: Path, root: Path) -> FileEntry:
    name = path.relative_to(root).as_posix()
    return FileEntry(path=name, bytes=path.stat().st_size, sha256=digest(path))


def _check_file(directory: Path, entry: FileEntry, compute_digest: Callable[[Path], str] | None) -> None:
    relative = PurePosixPath(entry.path)
    if relative.is_absolute() or ".." in relative.parts or "\\" in entry.path or not relative.parts:
        raise PackageError(f"the manifest names a file outside of the package: {entry.path!r}", hint=HINT)
    path = directory / relative
    if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
        raise DamagedPackage(f"{entry.path} is missing", hint=HINT)
    size = path.stat().st_size
    if size != entry.bytes:
        message = f"{entry.path} is damaged: it has {size:,} bytes, and the manifest says {entry.bytes:,}"
        raise DamagedPackage(message, hint=HINT)
    if compute_digest is not None and compute_digest(path) != entry.sha256:
        raise DamagedPackage(f"{entry.path} is damaged: its SHA-256 is not that of the manifest", hint=HINT)


def check_weights(path: Path) -> None:
    """Check that the header of a safetensors file is JSON of bounded size; raises `PackageError`.

    The reader of the tensors checks the rest.
    """
    name = path.name
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(MAX_WEIGHTS_HEADER_BYTES, path.stat().st_size - 8):
                limit = f"limit {MAX_WEIGHTS_HEADER_BYTES:,}, file {path.stat().st_size:,}"
                raise PackageError(f"the header of {name} claims {length:,} bytes ({limit})", hint=HINT)
            if not isinstance(json.loads(file.read(length)), dict):
                raise PackageError(f"the header of {name} is not a JSON object", hint=HINT)
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"{name} cannot be read: {error}", hint=HINT) from error
