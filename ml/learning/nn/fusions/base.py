"""Fusion: joins the features of several slots, of which some may be missing.

B batch, S slots, W width of the joined features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fusion(nn.Module, ABC):
    """Projects the features of each slot to one width, and joins them."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def __init__(self, widths: Mapping[str, int], *, width: int, dropout: float) -> None:
        """Build the projections.

        Args:
            widths: Slot -> width of its features.
            width: Width of the joined features.
            dropout: Fraction of values that training sets to zero.
        """
        super().__init__()
        self.projections = nn.ModuleDict(
            {
                slot: nn.Sequential(nn.Linear(size, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))
                for slot, size in widths.items()
            }
        )

    def project(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return [B, S, W] of the features [B, D] of each slot."""
        return torch.stack([projection(features[slot]) for slot, projection in self.projections.items()], dim=1)

    @abstractmethod
    def forward(self, projected_BSW: Tensor, present_BS: Tensor) -> Tensor:
        """Return the joined features, [B, W].

        A part that a row lacks has no effect, unless the row lacks all.
        """
