"""Learn to read and to write from text alone: parts are hidden, and the whole is written again.

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
    """How much of a text is hidden, and in how long pieces."""

    hidden: float = Field(0.3, gt=0, lt=1)
    """Share of the tokens, on average."""
    mean_span: float = Field(3.0, ge=1, le=100)
    """Tokens that are hidden together behind one mask, on average."""


class Denoising(Objective):
    """Text infilling: spans are each replaced by one mask, however long they were; the decoder writes the whole text.

    Lewis et al. 2019, section 2.2, with spans of at least one token where they have empty ones, too: so a text never
    becomes longer than the backbone reads. Spans of Raffel et al. 2019 (T5) differ in what is written: here everything,
    so that the decoder has learned to write whole texts when a task starts from it.
    """

    name = "denoising"
    summary = "Learn without labels: hide spans of a text, write the whole of it"
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
        self.kept = [tokens[role] for role in ("begin", "end") if role in tokens]

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Cross-entropy of the whole text, given what was left of it."""
        text, real = batch["text"], batch["text_mask"]
        left, left_real = self.corrupted(text, real)
        return self.network.losses({"text": left, "text_mask": left_real, "target": text, "target_mask": real})

    def corrupted(self, text_BT: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
        """The text with a mask in place of each hidden span, int64 [B, at most T], and where it is real."""
        config = self.config
        may_go = real_BT.clone()
        for token in self.kept:
            may_go &= text_BT != token
        # A span begins at a place with such a chance that, overlaps aside, the share asked for is hidden.
        begins = (torch.rand(text_BT.shape, device=text_BT.device) < config.hidden / config.mean_span) & may_go
        lengths = 1 + torch.poisson(torch.full(text_BT.shape, config.mean_span - 1, device=text_BT.device)).long()
        places = torch.arange(text_BT.shape[1], device=text_BT.device)
        reached = torch.where(begins, places + lengths, 0).cummax(dim=1).values
        goes = (places < reached) & may_go
        first = goes & ~torch.cat([torch.zeros_like(goes[:, :1]), goes[:, :-1]], dim=1)
        stays = real_BT & (~goes | first)
        written = torch.where(first, self.mask, text_BT)
        order = stays.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        longest = int(stays.sum(dim=1).max())
        left_real = stays.gather(1, order)[:, :longest]
        return written.gather(1, order)[:, :longest].masked_fill(~left_real, self.padding), left_real
