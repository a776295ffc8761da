"""Crossing of a body from a base model of another signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.encoders import ENCODERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.nn import Parameter

    from ml.learning.nn.network import Network
    from ml.learning.pipeline.base_models import BaseModels
    from ml.learning.pipeline.report import CrossedSection, TransferSection


def train_stems(network: Network, bases: BaseModels) -> set[Parameter]:
    """Make the stems of slots that take a body trainable; return their weights.

    Every tuning trains them. A stem is what is not of the body. It is new, and frozen it would pass on noise.
    """
    stems = {
        parameter
        for slot in bases.crossings()
        for name, parameter in network.typed_backbones[slot].named_parameters()
        if not name.startswith(network.typed_backbones[slot].body)
    }
    for parameter in stems:
        parameter.requires_grad_(True)
    return stems


def describe_crossings(
    bases: BaseModels, transfer: TransferSection, signals: Mapping[str, str]
) -> dict[str, CrossedSection]:
    """Describe what crossed, by slot. `signals` are those that the slots read."""
    sections: dict[str, CrossedSection] = {}
    for slot, source in bases.crossings().items():
        loaded = set(transfer["loaded"])
        manifest = bases.packages[slot].manifest
        prefix = f"backbones.{slot}."
        sections[slot] = {
            "signal": signals[slot],
            "source_slot": source,
            "source_signal": ENCODERS[manifest.encoders[source].name].signal,
            "architecture": manifest.architectures[source].name,
            "loaded": [name for name in transfer["loaded"] if name.startswith(prefix)],
            "new": [name for name in transfer["new"] if name.startswith(prefix)],
            "dropped": sorted(name for name, own in bases.names(slot).items() if own not in loaded),
        }
    return sections


def describe_crossing(slot: str, section: CrossedSection) -> str:
    """Say in one sentence what crossed."""
    return (
        f"{slot} starts from the body of a {section['architecture']} that read {section['source_signal']}: "
        f"{len(section['loaded'])} tensors loaded, {len(section['new'])} new, {len(section['dropped'])} left"
    )
