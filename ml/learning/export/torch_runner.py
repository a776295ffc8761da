"""Predictions of a package by torch, for packages without graphs; needs torch to be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ml.errors import PackageError
from ml.learning.nn import device as devices
from ml.learning.nn.network import Network, build
from ml.learning.training.batches import to_arrays, to_device
from ml.package.manifest import HINT
from ml.package.package import WEIGHTS
from ml.tasks.base import embedding_graphs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from ml.learning.nn.heads.base import Tensors
    from ml.package.package import ModelPackage
    from ml.signals import Arrays, Run


def load_network(package: ModelPackage) -> Network:
    """Load the network of a package with its weights, in evaluation mode.

    Raises:
        PackageError: The weights do not fit the network of the manifest.
    """
    manifest = package.manifest
    encoders = package.encoders()
    try:
        shapes = {slot: encoders[slot].shape() for slot in manifest.architectures}
        network = build(manifest.architectures, shapes=shapes, head=manifest.head)
        network.load_state_dict(load_file(package.file(WEIGHTS)))
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        message = f"the weights do not fit the network that the manifest describes: {error}"
        raise PackageError(message, hint=HINT) from error
    return network.eval()


def load(package: ModelPackage, *, device: str = "auto") -> Run:
    """Load the network of a package as the function that its graphs compute."""
    torch_device = devices.choose(device).torch
    network = load_network(package)
    task = package.task()
    served = (network if task else network.without_head()).to(torch_device)
    if task:
        # What an earlier build stored may be of the graphs of that time.
        task.bind_widths(network.widths)
    graphs = task.graph_inputs() if task else embedding_graphs(network.backbones)
    return make_runner(served, graphs, device=torch_device)


def load_forward(package: ModelPackage) -> Callable[[Arrays], Arrays]:
    """Load the network of a package as training evaluates it.

    The function turns a batch with targets into all outputs.
    """
    network = load_network(package)

    def forward(batch: Arrays) -> Arrays:
        with torch.no_grad():
            return to_arrays(network(to_device(batch, torch.device("cpu"))))

    return forward


class Inferring(Protocol):
    """A network, or several of them, that computes the outputs of a graph."""

    def infer(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the outputs of a batch."""


def make_runner(network: Inferring, graphs: Mapping[str, Sequence[str]], *, device: torch.device) -> Run:
    """Return `network.infer` as a function of arrays, like an exported graph."""

    def run(graph: str, batch: Arrays) -> Arrays:
        inputs = {name: np.asarray(batch[name]) for name in graphs[graph] if name in batch}
        with torch.no_grad():
            return to_arrays(network.infer(to_device(inputs, device)))

    return run
