"""Rows of several lengths in one tensor, of which padding must not change a thing.

B batch, T time, D width. A mask is bool [B, T], true where a row is real; a row is real from its start to its end.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_mask(signal: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, or where there is none one that hides nothing; of a signal [B, T] or [B, T, F]."""
    return torch.ones(signal.shape[:2], dtype=torch.bool, device=signal.device) if mask is None else mask


def zero_masked(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Zeros in place of padding."""
    return sequence_BTD * mask_BT.unsqueeze(2).to(sequence_BTD.dtype)


def mean(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """[B, D] over what is real; zeros for a row that has nothing."""
    total_BD = zero_masked(sequence_BTD, mask_BT).sum(dim=1)
    return total_BD / mask_BT.sum(dim=1, keepdim=True).clamp(min=1).to(total_BD.dtype)


def maximum(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """[B, D]: the largest of each channel over what is real; of numbers well above -10,000."""
    return (sequence_BTD + (mask_BT.unsqueeze(2).to(sequence_BTD.dtype) - 1) * 1e4).amax(dim=1)


def reverse_sequences(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Every row from its end to its start, padding still behind; turned twice it is as before.

    Plain indexing, where packing would sort the batch: an exported graph reads batches of any lengths.
    """
    places_T = torch.arange(sequence_BTD.shape[1], device=sequence_BTD.device)
    last_B1 = mask_BT.sum(dim=1, keepdim=True) - 1
    source_BT = torch.where(mask_BT, last_B1 - places_T, places_T)
    return sequence_BTD.gather(1, source_BT.unsqueeze(2).expand(-1, -1, sequence_BTD.shape[2]))
