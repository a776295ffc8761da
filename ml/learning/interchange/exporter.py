"""A package becomes a folder for others: Hugging Face's, which is loaded there and found to answer alike, or ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from ml.data.rows import Rows
from ml.encoders.base import collate_slots, encode_slots
from ml.errors import PackageError
from ml.learning.export.torch_runner import load_network
from ml.learning.interchange.export_onnx import write_folder
from ml.learning.interchange.families import FAMILIES
from ml.learning.interchange.load_pretrained import load_pretrained
from ml.package.package import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml.learning.interchange.families.base import ExportedModel, Family
    from ml.learning.nn.network import Network
    from ml.spec.interchange import ModelFormat

TOLERANCE: Final = 1e-4
"""Of the largest number of an answer: both add the same float32 numbers, in orders of their own."""


def export_model(
    source: Path,
    into: Path,
    *,
    format: ModelFormat = "huggingface",
    opset: int | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write a package as a folder `into`, which is made here; returns the report. Raises `PackageError`."""
    on_phase("reading")
    package = ModelPackage.open(source)
    into.mkdir(parents=True)
    if format == "onnx":
        return write_folder(package, into, opset=opset, on_phase=on_phase)
    return _to_huggingface(package, into, on_phase)


def _to_huggingface(package: ModelPackage, into: Path, on_phase: Callable[[str], None]) -> dict[str, Any]:
    family = _family(package)
    network = load_network(package)
    on_phase("writing")
    written = family.write(package, network, into)
    on_phase("checking")
    difference = _difference(family, package, network, into, written)
    return {
        "format": "huggingface",
        "class": written.kind,
        "max_abs_difference": difference,
        "files": sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()),
        "notes": written.notes,
    }


def _family(package: ModelPackage) -> type[Family]:
    names = [choice.name for choice in package.manifest.architectures.values()]
    if len(names) != 1 or names[0] not in FAMILIES:
        found = " and ".join(names) or "a graph alone"
        known = ", ".join(FAMILIES)
        raise PackageError(f"Hugging Face has no format for {found}; it has one for {known}")
    family = FAMILIES[names[0]]
    task = package.manifest.task
    if family.slot not in package.manifest.architectures:
        raise PackageError(f"Hugging Face's {family.name} reads {family.slot}, and this one something else")
    if task is not None and task.name not in family.tasks.values():
        known = ", ".join(sorted(set(family.tasks.values()))) or "base models alone"
        raise PackageError(f"Hugging Face has no {family.name} for {task.name}; it has one for {known}")
    return family


def _difference(
    family: type[Family], package: ModelPackage, network: Network, folder: Path, written: ExportedModel
) -> float:
    """Both are asked the same."""
    model = load_pretrained(folder, written.kind, may_lack=written.lacks).model
    encoders = package.encoders()
    columns = encode_slots(encoders, {family.slot: family.slot}, Rows({family.slot: family.examples()}))
    arrays = {name: torch.from_numpy(each) for name, each in collate_slots(encoders, columns).items()}
    with torch.no_grad():
        found = family.ask(model, arrays, package)
        answers = network.infer(arrays)
    # A head that the library has no class for is told in the notes; what it reads is the same.
    ours = answers["embedding"] if written.kind == "AutoModel" else answers["logits"]
    difference = float((found - ours).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(ours.abs().max())):
        raise PackageError(f"the folder answers otherwise when it is loaded: by up to {difference:g}")
    return difference
