"""A package answered by torch: for one that has no graph, and where this half is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ml.errors import PackageError
from ml.learning.nn import device as devices
from ml.learning.nn.network import Network, build
from ml.learning.training.batches import to_arrays, to_device
from ml.package.package import WEIGHTS
from ml.tasks.base import embedding_graphs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.package.package import ModelPackage
    from ml.signals import Arrays, Run


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


def load(package: ModelPackage, *, device: str = "auto") -> Run:
    """What the package's graphs would compute."""
    where = devices.choose(device).torch
    network = network_of(package)
    task = package.task()
    answering = (network if task else network.without_head()).to(where)
    return running(answering, task.graphs if task else embedding_graphs(network.backbones), device=where)


def running(network: Network, graphs: Mapping[str, Sequence[str]], *, device: torch.device) -> Run:
    """`network.infer` as the function of arrays that an exported graph is."""

    def run(graph: str, batch: Arrays) -> Arrays:
        read = {name: np.asarray(batch[name]) for name in graphs[graph] if name in batch}
        with torch.no_grad():
            return to_arrays(network.infer(to_device(read, device)))

    return run
