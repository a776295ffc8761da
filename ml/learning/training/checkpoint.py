"""Checkpoint folders: tensors, JSON and a manifest of checksums.

A checkpoint holds weights, optimizer, random state and the position in the data. It is published whole or not at all;
nothing is unpickled.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

FORMAT_VERSION = 2
TENSORS, STATE, MANIFEST = "state.safetensors", "state.json", "manifest.json"
KEPT = 2
"""Should the newest be damaged, the one before still stands."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was saved. Tensors have dotted names (`network.head.weight`), the state is JSON."""

    directory: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix.`, named without it."""
        start = f"{prefix}."
        return {name.removeprefix(start): each for name, each in self.tensors.items() if name.startswith(start)}


def save(directory: Path, *, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write a checkpoint to `directory`, in place of an older one; it is complete or absent."""
    with atomic_directory(directory, replace=True) as building:
        save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, building / TENSORS)
        (building / STATE).write_text(json.dumps(state, indent=1, sort_keys=True))
        files = [{"path": name, "sha256": digest(building / name)} for name in (TENSORS, STATE)]
        (building / MANIFEST).write_text(json.dumps({"format_version": FORMAT_VERSION, "files": files}, indent=1))
    return directory


def load(directory: Path) -> Checkpoint:
    """Read one back; raises `PackageError` where a byte differs from what was written."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        version = manifest["format_version"]
        if version not in (version_1.FORMAT_VERSION, FORMAT_VERSION):
            raise PackageError(
                f"{directory.name} has format version {version}; this release reads versions up to {FORMAT_VERSION}"
            )
        for file in manifest["files"]:
            if digest(directory / file["path"]) != file["sha256"]:
                raise PackageError(f"{file['path']} of {directory.name} is damaged")
        tensors, state = load_file(directory / TENSORS), json.loads((directory / STATE).read_text())
        if version == version_1.FORMAT_VERSION:
            tensors = version_1.upgrade_checkpoint_tensors(tensors)
            state = version_1.upgrade_checkpoint_state(state)
        return Checkpoint(directory, tensors, state)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise PackageError(f"{directory.name} is damaged: {error}") from error


class Checkpoints:
    """The checkpoints of one run: those it writes, and those that a worker fetched for it (see `RunFolder`)."""

    def __init__(self, workdir: Path) -> None:
        folder = RunFolder(workdir)
        self.own = folder.own_checkpoints
        self.fetched = folder.fetched_checkpoints

    def save(self, step: int, *, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
        """Publish one, and let go of all but the last two."""
        path = save(self.own / f"step-{step:09d}", tensors=tensors, state=state)
        for old in _newest_first(self.own)[KEPT:]:
            shutil.rmtree(old)
        return path

    def newest(self, fingerprints: Collection[str]) -> tuple[Checkpoint | None, list[str]]:
        """Load the latest intact checkpoint of a run with one of the fingerprints.

        Also returns why later ones were skipped.
        """
        passed = []
        found = {*_newest_first(self.own), *_newest_first(self.fetched), *_itself(self.fetched)}
        for directory in sorted(found, key=_step, reverse=True):
            try:
                checkpoint = load(directory)
            except PackageError as error:
                passed.append(error.message)
                continue
            if checkpoint.state.get("run_fingerprint") in fingerprints:
                return checkpoint, passed
            passed.append(f"{directory.name} belongs to another run")
        return None, passed


def _newest_first(folder: Path) -> list[Path]:
    children = folder.iterdir() if folder.is_dir() else ()
    return sorted((child for child in children if (child / MANIFEST).is_file()), key=_step, reverse=True)


def _itself(folder: Path) -> Iterator[Path]:
    if (folder / MANIFEST).is_file():
        yield folder


def _step(directory: Path) -> int:
    try:
        return int(json.loads((directory / STATE).read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1
