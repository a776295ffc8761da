"""Transfer of weights from base models to a new network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from ml.learning.pipeline.growth import pad_inputs, silent_additions, widen

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from ml.learning.nn.network import Network
    from ml.learning.pipeline.base_models import BaseModels
    from ml.learning.pipeline.report import TransferredLabelsSection, TransferSection
    from ml.package.manifest import Manifest

#: Labels that a message names.
MAX_NAMED_LABELS: Final = 8


def transfer_weights(
    network: Network, bases: BaseModels, *, labels: Sequence[str], grown: Collection[str] = ()
) -> TransferSection:
    """Load each tensor with the same name, shape and meaning into the network.

    A tensor with a slice for each label (`Network.label_dimensions`) is loaded label by label: labels are compared by
    name, wherever they stand in the two models. `labels` are those of the network; empty without labels. Backbones of
    the slots in `grown` are larger than those of the bases: their outputs, and those of the head, stay (see `growth`).
    """
    own = network.state_dict()
    dimensions = network.label_dimensions()
    fitting: dict[str, Tensor] = {}
    dropped = bases.unused_names()
    section: TransferredLabelsSection | None = None
    widened = tuple(f"backbones.{slot}." for slot in grown) + (("head.",) if grown else ())
    for manifest, tensors in bases.tensors():
        base_labels = manifest.labels or []
        label_tensors = dimensions.keys() & tensors.keys() if base_labels else set()
        shares_head = _shares_head(network, manifest, labels)
        for name, tensor in tensors.items():
            if name not in own or (name.startswith("head.") and not shares_head):
                continue
            if name in label_tensors:
                wide = pad_inputs(tensor, own[name].shape[1]) if grown and own[name].ndim > 1 else tensor
                fitted = _join_labels(own[name], wide, dimensions[name], labels, base_labels)
            elif own[name].shape == tensor.shape:
                fitted = tensor
            else:
                fitted = widen(own[name], tensor) if name.startswith(widened) else None
            fitting |= {} if fitted is None else {name: fitted}
        dropped |= tensors.keys() - fitting.keys()
        if label_tensors:
            section = _compare(labels, base_labels, is_loaded=not label_tensors.isdisjoint(fitting))
    additions = silent_additions(network, grown, own.keys() - fitting.keys())
    network.load_state_dict(fitting | additions, strict=False)
    new = sorted(own.keys() - fitting.keys())
    return {"loaded": sorted(fitting), "new": new, "dropped": sorted(dropped), "labels": section}


def describe_labels(section: TransferredLabelsSection | None) -> str | None:
    """Say which labels came from the base model; None if all did."""
    if section is None or not (section["new"] or section["dropped"]):
        return None
    parts = [f"{len(section['loaded'])} labels have the weights of the base model"]
    if section["new"]:
        parts.append(f"{len(section['new'])} are new: {_name_some(section['new'])}")
    if section["dropped"]:
        parts.append(
            f"{len(section['dropped'])} of the base model are not in the data: {_name_some(section['dropped'])}"
        )
    return "; ".join(parts)


def _shares_head(network: Network, manifest: Manifest, labels: Sequence[str]) -> bool:
    """Check if heads give the same meaning to tensors, apart from labels."""
    if not manifest.labels or manifest.labels == list(labels):
        return True
    return manifest.head is not None and network.head is not None and manifest.head.name == network.head.name


def _join_labels(
    own: Tensor, tensor: Tensor, dimension: int, labels: Sequence[str], base_labels: Sequence[str]
) -> Tensor | None:
    """Return `own` with slices of `tensor` for shared labels; None without any."""
    shared = [label for label in labels if label in base_labels]
    shape = list(own.shape)
    shape[dimension] = len(base_labels)
    if not shared or list(tensor.shape) != shape:
        return None
    positions, base_positions = (
        torch.tensor([names.index(label) for label in shared], device=own.device) for names in (labels, base_labels)
    )
    slices = tensor.to(own).index_select(dimension, base_positions)
    return own.index_copy(dimension, positions, slices)


def _compare(labels: Sequence[str], base_labels: Sequence[str], *, is_loaded: bool) -> TransferredLabelsSection:
    loaded = [label for label in labels if is_loaded and label in base_labels]
    return {
        "loaded": loaded,
        "new": [label for label in labels if label not in loaded],
        "dropped": [label for label in base_labels if label not in loaded],
    }


def _name_some(labels: Sequence[str]) -> str:
    further = len(labels) - MAX_NAMED_LABELS
    return ", ".join(labels[:MAX_NAMED_LABELS]) + (f" and {further} more" if further > 0 else "")
