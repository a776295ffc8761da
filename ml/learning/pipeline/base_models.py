"""Base models of a run: none, one for the whole network, or some by slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import WEIGHTS, ModelPackage
from ml.spec.crossing import source_slot

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ml.config import Choice
    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.package.manifest import Manifest
    from ml.spec.requirements import BaseManifests


class BaseModels:
    """Packages by the slot that each provides; the one under None provides the whole network."""

    def __init__(self, packages: Mapping[str | None, ModelPackage]) -> None:
        self.packages = dict(packages)

    @classmethod
    def open(cls, start_from: Path | Mapping[str, Path] | None) -> BaseModels:
        """Open one package, or packages by slot; raises `PackageError`."""
        if start_from is None:
            return cls({})
        if isinstance(start_from, Mapping):
            return cls({slot: ModelPackage.open(path) for slot, path in start_from.items()})
        return cls({None: ModelPackage.open(start_from)})

    def __bool__(self) -> bool:
        return bool(self.packages)

    @property
    def manifests(self) -> BaseManifests:
        """Manifests in the form that `ml.spec.check` takes."""
        if None in self.packages:
            return self.packages[None].manifest
        return {slot: package.manifest for slot, package in self.packages.items() if slot is not None} or None

    @property
    def digests(self) -> str | dict[str, str] | None:
        """SHA-256 of the manifest; by slot if there are several packages."""
        digests = {slot: digest(package.directory / MANIFEST) for slot, package in self.packages.items()}
        if None in digests:
            return digests[None]
        return {slot: sha256 for slot, sha256 in digests.items() if slot is not None} or None

    def architectures(self) -> dict[str, Choice]:
        """Return the architectures of the bases by slot."""
        architectures: dict[str, Choice] = {}
        for slot, package in self.packages.items():
            manifest = package.manifest
            if slot is None:
                architectures |= manifest.architectures
            elif (source := source_slot(manifest, slot)) is not None:
                architectures[slot] = manifest.architectures[source]
        return architectures

    def crossings(self) -> dict[str, str]:
        """Return the slot of the base by the slot that takes its body."""
        sources = {slot: source_slot(package.manifest, slot) for slot, package in self.packages.items() if slot}
        return {slot: source for slot, source in sources.items() if source not in (None, slot)}

    def encoders(self) -> dict[str, Encoder[Any]]:
        """Return the encoders of the bases by slot or target."""
        return {
            name: encoder
            for slot, package in self.packages.items()
            for name, encoder in package.encoders().items()
            if slot in (None, name)
        }

    def encoder_files(self) -> dict[str, str]:
        """Return the SHA-256 of the encoders' files by path in a package."""
        return {
            file.path: file.sha256
            for slot, package in self.packages.items()
            for file in package.manifest.files
            if file.path.startswith("encoders/" if slot is None else f"encoders/{slot}/")
        }

    def tensors(self) -> list[tuple[Manifest, dict[str, Tensor]]]:
        """Return manifest and tensors of each package, named as in the network.

        A package that is named for a slot gives those of its backbone, or of its body if that crosses.
        """
        result = []
        for slot, package in self.packages.items():
            tensors, names = load_file(package.file(WEIGHTS)), self.names(slot)
            result.append((package.manifest, {own: tensors[name] for name, own in names.items() if own is not None}))
        return result

    def names(self, slot: str | None) -> dict[str, str | None]:
        """Return the names of tensors of a package and of the network.

        None stands for what stays behind.
        """
        package = self.packages[slot]
        with safe_open(package.file(WEIGHTS), framework="pt") as file:
            names = list(file.keys())
        if slot is None:
            return dict(zip(names, names, strict=True))
        source = self.crossings().get(slot, slot)
        prefix = f"backbones.{source}."
        parts: tuple[str, ...] = (prefix,)
        if source != slot:
            parts = tuple(prefix + part for part in ARCHITECTURES[package.manifest.architectures[source].name].body)
        return {
            name: f"backbones.{slot}.{name.removeprefix(prefix)}" if name.startswith(parts) else None for name in names
        }

    def unused_names(self) -> set[str]:
        """Return the names of tensors outside the slots that packages are named for."""
        names = [self.names(slot) for slot in self.packages]
        used = {name for by_name in names for name, own in by_name.items() if own is not None}
        return {name for by_name in names for name in by_name} - used

    def has_backbones_of(self, network: Network) -> bool:
        """Check if each tensor of the network's backbones equals the base's, bit for bit."""
        if not self:
            return False
        base_tensors = {name: tensor for _, tensors in self.tensors() for name, tensor in tensors.items()}
        own = {name: tensor.cpu() for name, tensor in network.state_dict().items() if name.startswith("backbones.")}
        return all(
            name in base_tensors
            and base_tensors[name].dtype == tensor.dtype
            and torch.equal(base_tensors[name], tensor)
            for name, tensor in own.items()
        )
