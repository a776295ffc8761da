"""Denoising (text infilling): mask spans of a text, and write the whole text.

B batch, T tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ml.config import Config
from ml.learning.nn.objectives.base import Objective
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class DenoisingConfig(Config):
    """Fraction of a text that is masked, and the length of its spans."""

    hidden: float = Field(0.3, gt=0, lt=1, description="Mean fraction of the tokens that are masked.")
    mean_span: float = Field(3.0, ge=1, le=100, description="Mean number of tokens replaced by one mask.")


class Denoising(Objective):
    """Text infilling: one mask replaces each span; the decoder writes the whole text.

    Spans have any length. They follow Lewis et al. 2019, section 2.2, but have at least one token, where theirs may be
    empty: so a text never becomes longer than the maximum length of the backbone. In T5 (Raffel et al. 2019) the
    decoder writes the spans only; here it writes everything, so that a task that starts from it has a decoder of whole
    texts.
    """

    name = "denoising"
    summary = "Learn without labels: mask spans of a text, write the whole text"
    source = "Lewis et al. 2019, arXiv:1910.13461 (BART)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.SEQUENCE}), default_architecture="transformer"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    config_type = DenoisingConfig
    head = "decoder"
    recipe = Schedule(
        epochs=10, batch_size=64, optimizer="adamw", learning_rate=1e-3, decay="cosine", warmup_fraction=0.1
    )

    def __init__(self, config: DenoisingConfig, network: Network) -> None:
        super().__init__(config, network)
        tokens = network.widths["text"].shape
        self.padding, self.mask = tokens["padding"], tokens["mask"]
        self.boundaries = [tokens[role] for role in ("begin", "end") if role in tokens]

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the cross-entropy of the whole text, predicted from the corrupted text."""
        text, mask = batch["text"], batch["text_mask"]
        corrupted, corrupted_mask = self.corrupt(text, mask)
        return self.network.compute_losses(
            {"text": corrupted, "text_mask": corrupted_mask, "target": text, "target_mask": mask}
        )

    def corrupt(self, text_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Replace random spans of the text by one mask token each.

        Returns the corrupted text, int64 [B, up to T], and its mask, true where it is real.
        """
        is_replaced_BT = self._sample_spans(text_BT, mask_BT)
        is_previous_BT = torch.cat([torch.zeros_like(is_replaced_BT[:, :1]), is_replaced_BT[:, :-1]], dim=1)
        is_start_BT = is_replaced_BT & ~is_previous_BT
        remains_BT = mask_BT & (~is_replaced_BT | is_start_BT)
        masked_BT = torch.where(is_start_BT, self.mask, text_BT)
        order_BT = remains_BT.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        max_length = int(remains_BT.sum(dim=1).max())
        corrupted_mask = remains_BT.gather(1, order_BT)[:, :max_length]
        corrupted = masked_BT.gather(1, order_BT)[:, :max_length].masked_fill(~corrupted_mask, self.padding)
        return corrupted, corrupted_mask

    def _sample_spans(self, text_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return bool [B, T], true in random spans of real tokens, boundary tokens excepted."""
        config, shape, device = self.config, text_BT.shape, text_BT.device
        is_eligible_BT = mask_BT.clone()
        for token in self.boundaries:
            is_eligible_BT &= text_BT != token
        # Except for overlaps, spans that start with this probability cover the fraction `hidden`.
        starts_BT = (torch.rand(shape, device=device) < config.hidden / config.mean_span) & is_eligible_BT
        lengths_BT = 1 + torch.poisson(torch.full(shape, config.mean_span - 1, device=device)).long()
        positions_T = torch.arange(shape[1], device=device)
        ends_BT = torch.where(starts_BT, positions_T + lengths_BT, 0).cummax(dim=1).values
        return (positions_T < ends_BT) & is_eligible_BT
