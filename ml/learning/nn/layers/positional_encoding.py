"""Where in a sequence a token stands, as numbers that any length has."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """float32 [T, width] of int64 [T]: sines and cosines of wavelengths from 2 pi to 20,000 pi.

    Vaswani et al. 2017, section 3.5; sines in the first half and cosines in the second instead of by turns, which is
    the same to any layer that learns.
    """
    half = torch.arange((width + 1) // 2, device=positions.device)
    angle = positions.float().unsqueeze(1) * torch.exp(half * (-math.log(10_000.0) * 2 / width))
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]
