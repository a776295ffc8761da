"""Masked operations on padded batches, whose results do not depend on the padding.

B batch, T time, D width. A mask is bool [B, T], true where a row is real; padding stands at the end of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_mask(signal: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mask, or one that is true everywhere if it is None.

    The signal is [B, T] or [B, T, F].
    """
    return torch.ones(signal.shape[:2], dtype=torch.bool, device=signal.device) if mask is None else mask


def zero_masked(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Set padding to zero."""
    return sequence_BTD * mask_BT.unsqueeze(2).to(sequence_BTD.dtype)


def masked_mean(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean over real positions, [B, D]; zeros for an empty row."""
    total_BD = zero_masked(sequence_BTD, mask_BT).sum(dim=1)
    return total_BD / mask_BT.sum(dim=1, keepdim=True).clamp(min=1).to(total_BD.dtype)


def masked_max(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the maximum of each channel over real positions, [B, D].

    Values must be well above -10,000.
    """
    return (sequence_BTD + (mask_BT.unsqueeze(2).to(sequence_BTD.dtype) - 1) * 1e4).amax(dim=1)


def reverse_sequences(sequence_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Reverse the real part of each row; padding stays at the end.

    It uses plain indexing rather than packed sequences, which would sort the batch: so an exported graph accepts
    batches of any lengths.
    """
    positions_T = torch.arange(sequence_BTD.shape[1], device=sequence_BTD.device)
    last_B1 = mask_BT.sum(dim=1, keepdim=True) - 1
    source_BT = torch.where(mask_BT, last_B1 - positions_T, positions_T)
    return sequence_BTD.gather(1, source_BT.unsqueeze(2).expand(-1, -1, sequence_BTD.shape[2]))
