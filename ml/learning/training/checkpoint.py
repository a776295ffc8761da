"""Checkpoints of training runs: tensors, JSON and a manifest with checksums.

A checkpoint is written completely or not at all, and nothing in it is unpickled. Its tensors are the weights, the state
of the optimizer and the random state.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ml.atomic_directory import atomic_directory
from ml.errors import PackageError
from ml.learning.training.run_folder import RunFolder
from ml.package import version_1
from ml.package.checksums import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor

FORMAT_VERSION: Final = 2
TENSORS, STATE, MANIFEST = "state.safetensors", "state.json", "manifest.json"
#: Checkpoints that a run keeps. If the newest is damaged, the one before it can be used.
MAX_CHECKPOINTS: Final = 2

DAMAGED_HINT: Final = "Delete it: the run then continues from the checkpoint before it."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint: a JSON state, and tensors with dotted names (`objective.bias`)."""

    directory: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def tensors_under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with `prefix.`, by the rest of their names."""
        start = f"{prefix}."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save(directory: Path, *, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write a checkpoint to `directory`, replacing an older one, completely or not at all."""
    with atomic_directory(directory, replace=True) as staging:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, staging / TENSORS)
        (staging / STATE).write_text(json.dumps(state, indent=1, sort_keys=True))
        files = [{"path": name, "sha256": digest(staging / name)} for name in (TENSORS, STATE)]
        (staging / MANIFEST).write_text(json.dumps({"format_version": FORMAT_VERSION, "files": files}, indent=1))
    return directory


def load(directory: Path) -> Checkpoint:
    """Read a checkpoint of this or an earlier format version.

    Raises:
        PackageError: A file is missing or damaged, or the format version is unknown.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        version = manifest["format_version"]
        if version not in (version_1.FORMAT_VERSION, FORMAT_VERSION):
            message = (
                f"{directory.name} has format version {version}; this release reads versions up to {FORMAT_VERSION}"
            )
            raise PackageError(message, hint="Update Plinth.")
        for file in manifest["files"]:
            if digest(directory / file["path"]) != file["sha256"]:
                message = f"{file['path']} of {directory.name} is damaged: its SHA-256 is not that of the manifest"
                raise PackageError(message, hint=DAMAGED_HINT)
        tensors, state = load_file(directory / TENSORS), json.loads((directory / STATE).read_text())
        if version == version_1.FORMAT_VERSION:
            tensors = version_1.upgrade_checkpoint_tensors(tensors)
            state = version_1.upgrade_checkpoint_state(state)
        return Checkpoint(directory, tensors, state)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise PackageError(f"{directory.name} is damaged: {error}", hint=DAMAGED_HINT) from error


class Checkpoints:
    """A run's own checkpoints, and those fetched for it by a worker (see `RunFolder`).

    Only one process of a run writes.
    """

    def __init__(self, workdir: Path, *, writes: bool = True) -> None:
        folder = RunFolder(workdir)
        self.own = folder.own_checkpoints
        self.fetched = folder.fetched_checkpoints
        self.writes = writes

    def save(self, step: int, *, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
        """Write a checkpoint and delete own ones beyond the newest `MAX_CHECKPOINTS`."""
        path = self.own / f"step-{step:09d}"
        if not self.writes:
            return path
        save(path, tensors=tensors, state=state)
        for old in _newest_first(self.own)[MAX_CHECKPOINTS:]:
            shutil.rmtree(old)
        return path

    def load_newest(self, fingerprints: Collection[str]) -> tuple[Checkpoint | None, list[str]]:
        """Load the latest intact checkpoint of a run with one of the fingerprints.

        Also returns why later ones were skipped.
        """
        reasons = []
        directories = {*_newest_first(self.own), *_newest_first(self.fetched), *_itself(self.fetched)}
        for directory in sorted(directories, key=_read_step, reverse=True):
            try:
                checkpoint = load(directory)
            except PackageError as error:
                reasons.append(error.message)
                continue
            if checkpoint.state.get("run_fingerprint") in fingerprints:
                return checkpoint, reasons
            reasons.append(f"{directory.name} belongs to another run")
        return None, reasons


def _newest_first(folder: Path) -> list[Path]:
    children = folder.iterdir() if folder.is_dir() else ()
    return sorted((child for child in children if (child / MANIFEST).is_file()), key=_read_step, reverse=True)


def _itself(folder: Path) -> Iterator[Path]:
    if (folder / MANIFEST).is_file():
        yield folder


def _read_step(directory: Path) -> int:
    try:
        return int(json.loads((directory / STATE).read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1
