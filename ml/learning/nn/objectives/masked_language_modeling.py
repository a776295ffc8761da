"""Masked language modeling: predict the masked tokens of a text.

B batch, T tokens, N masked tokens of the batch, D width, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.errors import SpecError
from ml.learning.nn.batch_parts import reweight
from ml.learning.nn.objectives.base import Objective
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class MaskedLanguageModelingConfig(Config):
    """Fractions of the tokens that are predicted and masked (section 3.1 of the paper)."""

    prediction_fraction: float = Field(0.15, gt=0, lt=1, description="Fraction of the tokens that are predicted.")
    masked: float = Field(0.8, ge=0, le=1, description="Fraction of the predicted tokens replaced by the mask token.")
    changed: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Fraction of the predicted tokens replaced by a random token. The rest stay unchanged, since texts "
        "have no mask tokens when the model is used.",
    )


class MaskedLanguageModeling(Objective):
    """BERT's objective without next sentence prediction, which does not help (RoBERTa).

    After one more layer, logits are products with the token embedding of the backbone.
    """

    name = "masked_language_modeling"
    summary = "Learn without labels: predict masked tokens from both sides of a text"
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
            hint = "Start from scratch, or from a base model whose tokenizer has a mask token."
            raise SpecError("the tokenizer has no mask token", hint=hint)
        self.mask, self.vocabulary = widths.shape["mask"], widths.shape["vocabulary"]
        roles = ("padding", "begin", "end", "mask")
        special_tokens = sorted({widths.shape[role] for role in roles if role in widths.shape})
        self.register_buffer("special_tokens", torch.tensor(special_tokens), persistent=False)
        table = self._token_embedding()
        self.own_table = nn.Parameter(torch.randn(self.vocabulary, widths.sequence) * 0.02) if table is None else None
        width = widths.sequence if table is None else table.shape[1]
        self.transform = nn.Sequential(nn.Linear(widths.sequence, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(self.vocabulary))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the mean cross-entropy of the predicted tokens, and their accuracy.

        In evaluation the same tokens are predicted after each epoch.
        """
        tokens_BT, mask_BT = batch["text"], batch["text_mask"]
        is_predicted_BT, input_BT = self.mask_tokens(tokens_BT, mask_BT)
        features = self.network.extract_features({**batch, "text": input_BT})["text"]
        hidden_ND = self.transform(features[Feature.SEQUENCE][0][is_predicted_BT])
        table = self.own_table if self.own_table is not None else self._token_embedding()
        assert table is not None
        logits_NV = functional.linear(hidden_ND, table[: self.vocabulary].to(hidden_ND.dtype), self.bias).float()
        target_N = tokens_BT[is_predicted_BT]
        count = max(1, len(target_N))  # a batch of very short texts may have no masked token
        accuracy = (logits_NV.argmax(dim=1) == target_N).float().sum() / count
        loss = functional.cross_entropy(logits_NV, target_N, reduction="sum") / count
        return {
            "loss": reweight(loss, len(target_N)),
            "masked_accuracy": accuracy,
        }

    def mask_tokens(self, tokens_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return which tokens are predicted, bool [B, T], and the masked input, int64 [B, T]."""
        config: MaskedLanguageModelingConfig = self.config
        generator = None if self.training else torch.Generator(tokens_BT.device).manual_seed(0)
        shape, device = tokens_BT.shape, tokens_BT.device
        selection, treatment = (torch.rand(shape, generator=generator, device=device) for _ in range(2))
        random_BT = torch.randint(self.vocabulary, shape, generator=generator, device=device)
        is_special_BT = torch.isin(tokens_BT, cast("Tensor", self.special_tokens))
        is_predicted_BT = mask_BT & ~is_special_BT & (selection < config.prediction_fraction)
        input_BT = torch.where(is_predicted_BT & (treatment < config.masked), self.mask, tokens_BT)
        is_changed_BT = (treatment >= config.masked) & (treatment < config.masked + config.changed)
        return is_predicted_BT, torch.where(is_predicted_BT & is_changed_BT, random_BT, input_BT)

    def _token_embedding(self) -> Tensor | None:
        return cast("Backbone", self.network.backbones["text"]).token_embedding()
