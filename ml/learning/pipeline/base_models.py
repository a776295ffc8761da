"""What a run starts from: nothing, one model, or for some slots a model each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import WEIGHTS, ModelPackage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from ml.config import Choice
    from ml.encoders.base import Encoder
    from ml.learning.nn.network import Network
    from ml.spec.requirements import BaseManifests


class BaseModels:
    """Packages by the slot that is taken of each; the one under None is taken whole."""

    def __init__(self, packages: Mapping[str | None, ModelPackage]) -> None:
        self.packages = dict(packages)

    @classmethod
    def open(cls, start_from: Path | Mapping[str, Path] | None) -> BaseModels:
        """Raises `PackageError`."""
        if start_from is None:
            return cls({})
        if isinstance(start_from, Mapping):
            return cls({slot: ModelPackage.open(path) for slot, path in start_from.items()})
        return cls({None: ModelPackage.open(start_from)})

    def __bool__(self) -> bool:
        return bool(self.packages)

    @property
    def manifests(self) -> BaseManifests:
        """As `ml.spec.check` asks for them."""
        if None in self.packages:
            return self.packages[None].manifest
        return {slot: package.manifest for slot, package in self.packages.items() if slot is not None} or None

    @property
    def digests(self) -> str | dict[str, str] | None:
        """What tells one base from another."""
        found = {slot: digest(package.directory / MANIFEST) for slot, package in self.packages.items()}
        return (
            found[None] if None in found else {slot: each for slot, each in found.items() if slot is not None} or None
        )

    def architectures(self) -> dict[str, Choice]:
        """By slot."""
        return {
            name: choice
            for slot, package in self.packages.items()
            for name, choice in package.manifest.architectures.items()
            if slot in (None, name)
        }

    def encoders(self) -> dict[str, Encoder[Any]]:
        """By slot or target."""
        return {
            name: encoder
            for slot, package in self.packages.items()
            for name, encoder in package.encoders().items()
            if slot in (None, name)
        }

    def encoder_files(self) -> dict[str, str]:
        """sha256 by path in a package."""
        return {
            file.path: file.sha256
            for slot, package in self.packages.items()
            for file in package.manifest.files
            if file.path.startswith("encoders/" if slot is None else f"encoders/{slot}/")
        }

    def tensors(self, *, labels: Sequence[str] | None) -> tuple[dict[str, Tensor], list[str]]:
        """What can be taken over by name, and the names of the rest.

        A head that tells other labels apart means something else, even where the shapes agree.
        """
        found: dict[str, Tensor] = {}
        left: list[str] = []
        for slot, package in self.packages.items():
            known = package.manifest.labels
            other_head = known is not None and known != (None if labels is None else list(labels))
            for name, tensor in load_file(package.file(WEIGHTS)).items():
                if slot is None:
                    wanted = not (other_head and name.startswith("head."))
                else:
                    wanted = name.startswith(f"backbones.{slot}.")
                if wanted:
                    found[name] = tensor
                else:
                    left.append(name)
        return found, left

    def hold(self, network: Network) -> bool:
        """Whether every tensor of the network's backbones is still as the bases have it, bit for bit."""
        if not self:
            return False
        theirs, _ = self.tensors(labels=None)
        own = {name: each.cpu() for name, each in network.state_dict().items() if name.startswith("backbones.")}
        return all(
            name in theirs and theirs[name].dtype == each.dtype and torch.equal(theirs[name], each)
            for name, each in own.items()
        )
