"""Learn without labels what belongs in the gaps of a text.

B batch, T tokens, G gaps of the whole batch, D width, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.errors import SpecError
from ml.learning.nn.objectives.base import Objective
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class MaskedLanguageModelingConfig(Config):
    """How much is hidden, and how (section 3.1 of the paper)."""

    share: float = Field(0.15, gt=0, lt=1)
    """Of the tokens that must be told."""
    masked: float = Field(0.8, ge=0, le=1)
    """Of those, the share in whose place the mask stands."""
    changed: float = Field(0.1, ge=0, le=1)
    """And the share in whose place any token stands; the rest stay as they are, since a text that is read later has no
    masks."""


class MaskedLanguageModeling(Objective):
    """BERT's objective, without its second one of next sentences, which was found to gain nothing (RoBERTa).

    Tokens are told by their likeness to the table that they are read with, after one more layer.
    """

    name = "masked_language_modeling"
    summary = "Learn without labels: fill the gaps of a text from both sides"
    source = "Devlin et al. 2018, arXiv:1810.04805 (BERT); Liu et al. 2019, arXiv:1907.11692 (RoBERTa)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "text": Slot(
            reads=frozenset({Signal.TOKENS}), needs=frozenset({Feature.SEQUENCE}), default_architecture="transformer"
        )
    }
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    encoders: ClassVar[Mapping[str, str]] = {"text": "text"}
    scores = ("masked_accuracy",)
    config_type = MaskedLanguageModelingConfig
    recipe = Schedule(
        epochs=20,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        decay="cosine",
        warmup_fraction=0.1,
        gradient_clip_norm=1.0,
    )

    def __init__(self, config: MaskedLanguageModelingConfig, network: Network) -> None:
        super().__init__(config, network)
        widths = network.widths["text"]
        if "mask" not in widths.shape:
            hint = "Start from scratch, or from a base model whose tokenizer has a mask."
            raise SpecError("the tokenizer has no token to mask others with", hint=hint)
        self.mask, self.vocabulary = widths.shape["mask"], widths.shape["vocabulary"]
        aside = sorted({widths.shape[role] for role in ("padding", "begin", "end", "mask") if role in widths.shape})
        self.register_buffer("aside", torch.tensor(aside), persistent=False)
        table = self._table()
        self.own_table = nn.Parameter(torch.randn(self.vocabulary, widths.sequence) * 0.02) if table is None else None
        width = widths.sequence if table is None else table.shape[1]
        self.transform = nn.Sequential(nn.Linear(widths.sequence, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(self.vocabulary))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The mean cross-entropy of all gaps, and how often the most probable token is the right one.

        Judged on the same gaps after every epoch.
        """
        tokens_BT, mask_BT = batch["text"], batch["text_mask"]
        gaps_BT, read_BT = self.hidden(tokens_BT, mask_BT)
        features = self.network.features({**batch, "text": read_BT})["text"]
        found_GD = self.transform(features[Feature.SEQUENCE][0][gaps_BT])
        table = self.own_table if self.own_table is not None else self._table()
        assert table is not None
        logits_GV = functional.linear(found_GD, table[: self.vocabulary].to(found_GD.dtype), self.bias).float()
        wanted_G = tokens_BT[gaps_BT]
        count = max(1, len(wanted_G))  # a batch of very short texts may have no gap
        right = (logits_GV.argmax(dim=1) == wanted_G).float().sum() / count
        return {
            "loss": functional.cross_entropy(logits_GV, wanted_G, reduction="sum") / count,
            "masked_accuracy": right,
        }

    def hidden(self, tokens_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Where the gaps are, bool [B, T], and the tokens as they are shown, int64 [B, T]."""
        config: MaskedLanguageModelingConfig = self.config
        generator = None if self.training else torch.Generator(tokens_BT.device).manual_seed(0)
        shape, device = tokens_BT.shape, tokens_BT.device
        chance, way = (torch.rand(shape, generator=generator, device=device) for _ in range(2))
        others_BT = torch.randint(self.vocabulary, shape, generator=generator, device=device)
        aside = cast("Tensor", self.aside)
        gaps_BT = mask_BT & ~torch.isin(tokens_BT, aside) & (chance < config.share)
        shown_BT = torch.where(gaps_BT & (way < config.masked), self.mask, tokens_BT)
        changed = (way >= config.masked) & (way < config.masked + config.changed)
        return gaps_BT, torch.where(gaps_BT & changed, others_BT, shown_BT)

    def _table(self) -> Tensor | None:
        return cast("Backbone", self.network.backbones["text"]).table()
