"""What reading from left to right comes to in tensors, wherever padding stands.

B batch, T tokens read now, K tokens that can be seen: the T and those before them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(mask: Tensor, known: Tensor) -> Tensor:
    """Which tokens each token may look at, bool [B, 1, T, K]: real ones up to itself.

    `mask` [B, T] tells the real ones of those read now, `known` [B, K] of all, of which they are the last. A token sees
    itself even where it is padding, since a softmax over nothing is not a number.
    """
    now, all_of_them = mask.shape[1], known.shape[1]
    place = torch.arange(all_of_them, device=known.device)
    query = place[all_of_them - now :]
    earlier = place[None, :] <= query[:, None]
    itself = place[None, :] == query[:, None]
    return ((earlier[None] & known[:, None, :]) | itself[None])[:, None]


def positions(mask: Tensor) -> Tensor:
    """How many real tokens stand before each, int64 [B, T]; of padding, some position that exists."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def last_position(sequence: Tensor, mask: Tensor | None) -> Tensor:
    """Of [B, T, D] the last real token of each row, [B, D]; the first where none is real."""
    if mask is None:
        return sequence[:, -1]
    place = torch.arange(mask.shape[1], device=mask.device)
    last = (mask.long() * place).amax(dim=1)
    return sequence.gather(1, last[:, None, None].expand(-1, 1, sequence.shape[2]))[:, 0]
