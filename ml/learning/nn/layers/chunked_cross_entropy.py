"""From what a network knows of a place to which of many tokens stands there, without ever holding all scores at once.

N places, D width, V tokens.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

POSITIONS_PER_CHUNK: Final = 256
"""Scores of so many stay in a processor's cache for a vocabulary of usual size. In one piece they are written to memory
and read again a dozen times, which takes as long as computing them."""


def smoothed_cross_entropy(hidden_ND: Tensor, table_VD: Tensor, wanted_N: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over places, in nats, of scores `hidden @ table.T` against int64 [N].

    `smoothing` spreads that share of the certainty over all tokens (Szegedy et al. 2015, arXiv:1512.00567, section 7).
    """
    loss: Tensor = _CrossEntropy.apply(hidden_ND, table_VD, wanted_N, smoothing)  # type: ignore[no-untyped-call]
    return loss


def most_probable(hidden_ND: Tensor, table_VD: Tensor) -> Tensor:
    """int64 [N]."""
    pieces = [(piece @ table_VD.T).argmax(dim=1) for piece in torch.split(hidden_ND, POSITIONS_PER_CHUNK)]
    return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.long, device=hidden_ND.device)


class _CrossEntropy(torch.autograd.Function):
    """The gradient is known as soon as the scores are, so they are let go of at once."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, table_VD: Tensor, wanted_N: Tensor, smoothing: float) -> Tensor:
        places, tokens = len(hidden_ND), len(table_VD)
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        learns = any(ctx.needs_input_grad)
        of_hidden = torch.zeros_like(hidden_ND) if learns else None
        of_table = torch.zeros_like(table_VD, dtype=torch.float32) if learns else None
        for start in range(0, places, POSITIONS_PER_CHUNK):
            hidden = hidden_ND[start : start + POSITIONS_PER_CHUNK]
            wanted = wanted_N[start : start + POSITIONS_PER_CHUNK].unsqueeze(1)
            scores = hidden @ table_VD.T
            odds = scores.float().log_softmax(dim=1)
            total -= (1 - smoothing) * odds.gather(1, wanted).sum()
            if smoothing:
                total -= smoothing * odds.mean(dim=1).sum()
            if of_hidden is None or of_table is None:
                continue
            # What is answered, less what should be: one token nearly whole, of all others a little.
            error = odds.exp_().sub_(smoothing / tokens)
            error.scatter_add_(1, wanted, error.new_full(wanted.shape, smoothing - 1))
            error = error.to(scores.dtype)
            # Divided afterwards: shares of one place among thousands would be zero in float16.
            of_hidden[start : start + POSITIONS_PER_CHUNK] = (error @ table_VD) / places
            of_table += (error.T @ hidden) / places
        ctx.save_for_backward(of_hidden, of_table)
        ctx.table_type = table_VD.dtype
        return total / max(1, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_hidden, of_table = ctx.saved_tensors
        (gradient,) = gradients
        return gradient.to(of_hidden.dtype) * of_hidden, (gradient * of_table).to(ctx.table_type), None, None
