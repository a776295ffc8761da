"""Causal attention masks and position ids for batches that are padded on either side.

B batch, T tokens of the input, K tokens of the context: earlier tokens, then the T of the input.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(mask: Tensor, context_mask: Tensor) -> Tensor:
    """Return which tokens each token may attend to, bool [B, 1, T, K].

    These are the real tokens up to itself. `mask` [B, T] is true for the real tokens of the input, `context_mask`
    [B, K] for those of the context, whose last tokens are the input. A token attends to itself even if it is padding,
    since a softmax over nothing is not a number.
    """
    input_length, context_length = mask.shape[1], context_mask.shape[1]
    key = torch.arange(context_length, device=context_mask.device)
    query = key[context_length - input_length :]
    is_earlier = key[None, :] <= query[:, None]
    is_self = key[None, :] == query[:, None]
    return ((is_earlier[None] & context_mask[:, None, :]) | is_self[None])[:, None]


def position_ids(mask: Tensor) -> Tensor:
    """Count the real tokens before each token, int64 [B, T].

    Padding gets a position that exists.
    """
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def last_position(sequence: Tensor, mask: Tensor | None) -> Tensor:
    """Select the last real token of each row from [B, T, D], as [B, D].

    A row without real tokens gives its first.
    """
    if mask is None:
        return sequence[:, -1]
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (mask.long() * positions).amax(dim=1)
    return sequence.gather(1, last[:, None, None].expand(-1, 1, sequence.shape[2]))[:, 0]
