"""Number of operations of a network, from the shapes of its matrix products and convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ml.learning.nn.network import Network


def count_operations(network: Network, batch: Mapping[str, Tensor]) -> int:
    """Return the multiply-adds of a forward pass."""
    counter = FlopCounterMode(display=False)
    was_training = network.training
    network.eval()
    # oneDNN runs an LSTM as one operation, whose products the counter does not see.
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), counter:
        network(batch)
    network.train(was_training)
    return counter.get_total_flops() // 2
