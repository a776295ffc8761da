"""Digests of weights during a training, at steps that depend on nothing but the schedule."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: Limit of traced epochs; if there are more, every second one is left out.
MAX_EPOCHS: Final = 16
DIGEST_BYTES: Final = 8


class WeightTrace:
    """Collects digests of the first weights, after one step, and at ends of epochs.

    Traced epochs are multiples of a power of two, so that any two runs of one schedule trace the same.
    """

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        """Extend `steps` in place, which are part of the state of a run."""
        self._steps = steps

    def add_step(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Trace the weights before or after the first step."""
        self._steps.append({"epoch": 0, "step": step, "tensors": digest_tensors(tensors)})

    def add_epoch(self, epoch: int, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Trace the weights at the end of an epoch, if it is due."""
        if epoch % self._stride:
            return
        self._steps.append({"epoch": epoch, "step": step, "tensors": digest_tensors(tensors)})
        if len(self._epochs) > MAX_EPOCHS:
            stride = 2 * self._stride
            self._steps[:] = [traced for traced in self._steps if traced["epoch"] % stride == 0]

    @property
    def _epochs(self) -> list[int]:
        return [traced["epoch"] for traced in self._steps if traced["epoch"]]

    @property
    def _stride(self) -> int:
        """Distance of traced epochs: that of the first from 0."""
        return min(self._epochs, default=1)


def digest_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return a digest of the bytes of each tensor, in hexadecimal."""
    return {name: _digest(tensor) for name, tensor in tensors.items()}


def _digest(tensor: Tensor) -> str:
    content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.blake2b(content.data, digest_size=DIGEST_BYTES).hexdigest()
