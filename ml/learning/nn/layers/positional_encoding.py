"""Sinusoidal positional encoding, for sequences of any length."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Encode int64 positions [T] as float32 [T, width].

    The encodings are sines and cosines of wavelengths from 2 pi to 20,000 pi (Vaswani et al. 2017, section 3.5). Sines
    fill the first half and cosines the second, instead of alternating; to a learned layer both are equivalent.
    """
    half = torch.arange((width + 1) // 2, device=positions.device)
    angle = positions.float().unsqueeze(1) * torch.exp(half * (-math.log(10_000.0) * 2 / width))
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]
