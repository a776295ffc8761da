"""Transfer of weights from base models to a new network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.learning.nn.network import Network
    from ml.learning.pipeline.base_models import BaseModels
    from ml.learning.pipeline.report import TransferSection


def transfer_weights(network: Network, bases: BaseModels, *, labels: Sequence[str] | None) -> TransferSection:
    """Load each tensor with the same name, shape and meaning into the network."""
    own = network.state_dict()
    tensors, excluded = bases.tensors(labels=labels)
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)
    dropped = {*excluded, *tensors} - fitting.keys()
    return {"loaded": sorted(fitting), "new": sorted(own.keys() - fitting.keys()), "dropped": sorted(dropped)}
