"""Joined features of the parts of a row, and those of each part alone.

B batch, S slots, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ml.learning.nn.batch_parts import reweight
from ml.learning.nn.fusions import FUSIONS
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.learning.nn.architectures.base import Features, Widths

#: Suffix of the array of a slot that says which rows have it, bool [B].
PRESENT = "_present"
#: Weight of the loss of the parts alone.
PART_WEIGHT: Final = 1.0
Fusion = Literal["gated_sum", "transformer"]
Width = Annotated[int, Field(ge=8, le=4096, multiple_of=4)]


class Parts(nn.Module):
    """The pooled features of all slots, joined by a fusion."""

    def __init__(self, fusion: str, *, widths: Mapping[str, Widths], width: int, dropout: float) -> None:
        super().__init__()
        pooled = {slot: backbone.pooled for slot, backbone in widths.items()}
        self.fusion = FUSIONS[fusion](pooled, width=width, dropout=dropout)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the joined features [B, W], those of each part alone, and presence.

        The features of each part alone are [B, S, W]; presence, bool [B, S], says which parts a row has.
        """
        projected_BSW = self.fusion.project({slot: tensors[Feature.POOLED][0] for slot, tensors in features.items()})
        all_B = torch.ones_like(projected_BSW[:, 0, 0], dtype=torch.bool)
        present_BS = torch.stack([batch.get(f"{slot}{PRESENT}", all_B) for slot in features], dim=1)
        only_SS = torch.eye(len(features), dtype=torch.bool, device=present_BS.device)
        # By logic rather than `expand`, which an exporter would trace with the rows of its example.
        none_BS = torch.zeros_like(present_BS)
        alone = [self.fusion(projected_BSW, none_BS | only_S) for only_S in only_SS]
        return self.fusion(projected_BSW, present_BS), torch.stack(alone, dim=1), present_BS


def add_part_losses(
    joined: Tensor, alone: Tensor, present_BS: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return the loss of the joined parts plus that of each part alone.

    Without the latter, the part that learns fastest keeps the others from learning (Wang et al. 2020,
    arXiv:1905.12681).

    Args:
        joined: Outputs [B, ...].
        alone: Outputs of each part alone [B, S, ...].
        present_BS: Parts that a row has, bool.
        target: Targets [B].
        loss: Mean loss of outputs [N, ...] against targets [N].
    """
    rows, slots = present_BS.nonzero(as_tuple=True)
    return loss(joined, target) + PART_WEIGHT * reweight(loss(alone[rows, slots], target[rows]), len(rows))
