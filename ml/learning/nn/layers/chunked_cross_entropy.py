"""Cross-entropy over a large vocabulary in chunks, without materializing all logits.

N positions, D width, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

#: For a vocabulary of usual size, the logits of this number of positions stay in the cache of a processor. All at once
#: they are written to memory and read again a dozen times, which takes as long as computing them.
POSITIONS_PER_CHUNK: Final = 256


def smoothed_cross_entropy(hidden_ND: Tensor, table_VD: Tensor, target_N: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy, in nats, of the logits `hidden @ table.T`.

    The targets are int64 [N]. Label smoothing spreads the fraction `smoothing` of the target probability over all
    tokens (Szegedy et al. 2015, arXiv:1512.00567, section 7).
    """
    loss: Tensor = _CrossEntropy.apply(hidden_ND, table_VD, target_N, smoothing)  # type: ignore[no-untyped-call]
    return loss


def most_probable(hidden_ND: Tensor, table_VD: Tensor) -> Tensor:
    """Return the token with the largest logit at each position, int64 [N]."""
    chunks = [(hidden @ table_VD.T).argmax(dim=1) for hidden in torch.split(hidden_ND, POSITIONS_PER_CHUNK)]
    return torch.cat(chunks) if chunks else torch.empty(0, dtype=torch.long, device=hidden_ND.device)


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy whose forward pass computes the gradient, so that it can free the logits."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, table_VD: Tensor, target_N: Tensor, smoothing: float) -> Tensor:
        positions = len(hidden_ND)
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        needs_gradient = any(ctx.needs_input_grad)
        hidden_gradient = torch.zeros_like(hidden_ND) if needs_gradient else None
        table_gradient = torch.zeros_like(table_VD, dtype=torch.float32) if needs_gradient else None
        for start in range(0, positions, POSITIONS_PER_CHUNK):
            hidden = hidden_ND[start : start + POSITIONS_PER_CHUNK]
            target = target_N[start : start + POSITIONS_PER_CHUNK].unsqueeze(1)
            logits = hidden @ table_VD.T
            log_probs = logits.float().log_softmax(dim=1)
            total -= (1 - smoothing) * log_probs.gather(1, target).sum()
            if smoothing:
                total -= smoothing * log_probs.mean(dim=1).sum()
            if hidden_gradient is None or table_gradient is None:
                continue
            error = _logit_gradient(log_probs, target, smoothing).to(logits.dtype)
            # Divided after the product: the gradient of one position among thousands would underflow in float16.
            hidden_gradient[start : start + POSITIONS_PER_CHUNK] = (error @ table_VD) / positions
            table_gradient += (error.T @ hidden) / positions
        ctx.save_for_backward(hidden_gradient, table_gradient)
        ctx.table_dtype = table_VD.dtype
        return total / max(1, positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden_gradient, table_gradient = ctx.saved_tensors
        (gradient,) = gradients
        return (
            gradient.to(hidden_gradient.dtype) * hidden_gradient,
            (gradient * table_gradient).to(ctx.table_dtype),
            None,
            None,
        )


def _logit_gradient(log_probs: Tensor, target: Tensor, smoothing: float) -> Tensor:
    # Predicted minus target probabilities, computed in place of the log-probabilities.
    gradient = log_probs.exp_().sub_(smoothing / log_probs.shape[1])
    return gradient.scatter_add_(1, target, gradient.new_full(target.shape, smoothing - 1))
