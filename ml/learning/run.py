"""A package answered by torch: for one that has no graph, and where this half is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ml.errors import PackageError
from ml.learning import device as devices
from ml.learning.batches import to_device
from ml.learning.network import Network, build
from ml.package import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml.package import ModelPackage
    from ml.tasks.base import Arrays


def network_of(package: ModelPackage) -> Network:
    """With its weights, in evaluation; raises `PackageError` where they do not fit what the manifest describes."""
    manifest = package.manifest
    encoders = package.encoders()
    try:
        shapes = {slot: encoders[slot].shape() for slot in manifest.architectures}
        network = build(manifest.architectures, shapes=shapes, head=manifest.head)
        network.load_state_dict(load_file(package.file(WEIGHTS)))
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise PackageError(f"the weights do not fit the network that the manifest describes: {error}") from error
    return network.eval()


def load(package: ModelPackage, *, device: str = "auto") -> Callable[[Arrays], Arrays]:
    """What the package's graph would compute: from the arrays of `Task.collate` to the outputs, by name."""
    where = devices.choose(device).torch
    network = network_of(package)
    answering = (network if package.manifest.task else network.without_head()).to(where)

    def answer(arrays: Arrays) -> Arrays:
        with torch.no_grad():
            found = answering.infer(to_device(arrays, where))
        return {name: each.float().cpu().numpy() for name, each in found.items()}

    return answer
