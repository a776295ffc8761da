"""Export of a package as a Hugging Face folder or as ONNX graphs."""

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
from ml.learning.nn.heads.classifier import Classifier
from ml.package.package import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml.learning.interchange.families.base import ExportedModel, Family
    from ml.learning.nn.network import Network
    from ml.spec.interchange import ModelFormat

#: Largest difference of outputs relative to the largest output: float32 sums in another order.
TOLERANCE: Final = 1e-4


def export_model(
    source: Path,
    into: Path,
    *,
    format: ModelFormat = "huggingface",
    opset: int | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Export a package to a new folder `into`; returns the report.

    `opset` applies to the format `onnx`. Raises `PackageError`.
    """
    on_phase("reading")
    package = ModelPackage.open(source)
    into.mkdir(parents=True)
    if format == "onnx":
        return write_folder(package, into, opset=opset, on_phase=on_phase)
    return _export_huggingface(package, into, on_phase)


def _export_huggingface(package: ModelPackage, into: Path, on_phase: Callable[[str], None]) -> dict[str, Any]:
    family = _find_family(package)
    network = load_network(package)
    notes = _calibrate_weights(package, network)
    on_phase("writing")
    exported = family.write(package, network, into)
    on_phase("checking")
    difference = _max_difference(family, package, network, into, exported)
    return {
        "format": "huggingface",
        "class": exported.class_name,
        "max_abs_difference": difference,
        "files": sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()),
        "notes": [*exported.notes, *notes],
    }


def _calibrate_weights(package: ModelPackage, network: Network) -> list[str]:
    """Divide the last layer by the temperature, and return a note.

    These folders have no place for a temperature.
    """
    task = package.task()
    calibration = task.calibration if task else None
    if calibration is None or not isinstance(network.head, Classifier):
        return []
    with torch.no_grad():
        for weight in network.head.linear.parameters():
            weight.div_(calibration.temperature)
    return [
        f"the last layer is divided by the temperature {calibration.temperature:g}, so probabilities are calibrated"
    ]


def _find_family(package: ModelPackage) -> type[Family]:
    names = [choice.name for choice in package.manifest.architectures.values()]
    hint = "Export the format onnx, or download the package."
    if len(names) != 1 or names[0] not in FAMILIES:
        architectures = " and ".join(names) or "an ONNX graph without weights"
        message = f"there is no Hugging Face format for {architectures}; there is one for {', '.join(FAMILIES)}"
        raise PackageError(message, hint=hint)
    family = FAMILIES[names[0]]
    task = package.manifest.task
    if family.slot not in package.manifest.architectures:
        slots = ", ".join(package.manifest.architectures)
        raise PackageError(f"the Hugging Face format of {family.name} reads {family.slot}, not {slots}", hint=hint)
    if task is not None and task.name not in family.tasks.values():
        supported = ", ".join(sorted(set(family.tasks.values()))) or "base models only"
        message = f"the Hugging Face format of {family.name} does not support {task.name}; it supports {supported}"
        raise PackageError(message, hint=hint)
    return family


def _max_difference(
    family: type[Family], package: ModelPackage, network: Network, folder: Path, exported: ExportedModel
) -> float:
    """Load the folder, and compare its outputs with those of the network; raises `PackageError`."""
    model = load_pretrained(folder, exported.class_name, optional_prefixes=exported.missing_prefixes).model
    encoders = package.encoders()
    columns = encode_slots(encoders, {family.slot: family.slot}, Rows({family.slot: family.examples()}))
    arrays = {name: torch.from_numpy(array) for name, array in collate_slots(encoders, columns).items()}
    with torch.no_grad():
        outputs = family.predict_pretrained(model, arrays, package.manifest.architectures[family.slot])
        network_outputs = network.infer(arrays)
    # A head without a class in the library is reported in the notes; its input is compared instead.
    expected = network_outputs["embedding"] if exported.class_name == "AutoModel" else network_outputs["logits"]
    difference = float((outputs - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise PackageError(
            f"the outputs of the exported folder differ from those of the network by up to {difference:g}",
            hint="Export the format onnx instead.",
        )
    return difference
