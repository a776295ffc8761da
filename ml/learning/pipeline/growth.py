"""Growth of weights: a larger network that computes at first what a smaller one does.

New units are appended, and old ones do not read them (their new weights are zero), so that all old outputs stay. The
new units start at random, hence differ from each other, and the zeros have a gradient: both are trained. Net2Net (Chen
et al. 2016, arXiv:1511.05641) copies units instead, which needs noise to tell the copies apart. Added layers with
residual connections start with outputs of zero, as in ReZero (Bachlechner et al. 2020, arXiv:2003.04887).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from ml.learning.nn.network import Network


def widen(own: Tensor, tensor: Tensor) -> Tensor | None:
    """Return `own` with a smaller tensor in its corner; None if it does not fit.

    Dimension 0 counts outputs and dimension 1 inputs. Old outputs read no new input.
    """
    if own.ndim != tensor.ndim or any(size > limit for size, limit in zip(tensor.shape, own.shape, strict=True)):
        return None
    widened = own.clone()
    if own.ndim > 1:
        widened[: tensor.shape[0]] = 0
    widened[tuple(slice(size) for size in tensor.shape)] = tensor.to(own)
    return widened


def pad_inputs(tensor: Tensor, inputs: int) -> Tensor:
    """Return a tensor that reads `inputs` inputs, new ones with weights of zero; biases stay."""
    if tensor.ndim < 2 or tensor.shape[1] >= inputs:
        return tensor
    padded = tensor.new_zeros(tensor.shape[0], inputs, *tensor.shape[2:])
    padded[:, : tensor.shape[1]] = tensor
    return padded


def silent_additions(network: Network, slots: Iterable[str], names: Iterable[str]) -> dict[str, Tensor]:
    """Return zeros for the residual outputs among the named tensors of grown slots."""
    own, additions = network.state_dict(), set(names)
    return {
        name: own[name].new_zeros(own[name].shape)
        for slot in slots
        for name in additions
        if name.startswith(f"backbones.{slot}.") and name.endswith(network.typed_backbones[slot].residual_outputs)
    }
