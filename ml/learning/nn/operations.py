"""Number of operations of a network, from the shapes of its matrix products and convolutions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from ml.learning.nn.network import Network


def count_operations(network: Network, batch: Mapping[str, Tensor]) -> int:
    """Return the multiply-adds of a forward pass."""
    counter = FlopCounterMode(display=False)
    was_training = network.training
    network.eval()
    with torch.no_grad(), _separate_products(), counter:
        network(batch)
    network.train(was_training)
    return counter.get_total_flops() // 2


@contextlib.contextmanager
def _separate_products() -> Iterator[None]:
    """Compute without oneDNN, which runs an LSTM as one operation that is not counted."""
    # `mkldnn.flags` warns on every machine without an Intel GPU.
    is_enabled, *_ = torch.backends.mkldnn.set_flags(_enabled=False)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=is_enabled)  # type: ignore[no-untyped-call]
