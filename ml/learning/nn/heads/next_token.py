"""Next-token head: predicts the token after each token of a sequence.

B batch, T tokens, V vocabulary, D width, N positions that count, S sampled tokens.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.batch_parts import divisor
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.causal_mask import last_position
from ml.learning.nn.layers.output_embedding import OutputEmbedding
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

#: Limit in evaluation, since all logits of a batch over a large vocabulary would not fit in memory.
LOGITS_PER_CHUNK: Final = 1 << 24


class NextTokenConfig(Config):
    """Options of the next-token head. The defaults usually fit."""

    vocabulary: int = Field(
        0, ge=0, description="Output tokens; 0 for the input tokens, which then share one embedding with the output."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the features that are set to zero in each training step."
    )
    sampled: int = Field(
        0,
        ge=0,
        description="In training, compare the target with this number of uniformly sampled tokens instead of all "
        "(Bengio & Senecal 2008); 0 for all. Saves time with a very large vocabulary.",
    )


class NextToken(OutputEmbedding, Head):
    """Logits are products of the features with the embedding of each token.

    The targets are the input tokens shifted by one. Padding does not count, unless the batch has `{slot}_weight`,
    float32 [B, T], the weight of each token. Input and output share one embedding (Press & Wolf 2016, arXiv:1608.05859)
    if it has the width of the features.
    """

    name = "next_token"
    summary = "Predicts the next token after each token"
    needs = frozenset({Feature.CAUSAL})
    config_type = NextTokenConfig
    outputs = ("logits",)
    scores = ("accuracy",)

    def __init__(self, config: NextTokenConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, backbone),) = widths.items()  # exactly one sequence
        self.config = config
        self.width = backbone.causal
        self.dropout = nn.Dropout(config.dropout)
        self.init_output_embedding(
            config.vocabulary, slot=self.slot, width=self.width, input_vocabulary=backbone.shape["vocabulary"]
        )

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return, for each token but the first, three tensors of shape [B, T - 1].

        `token_loss` is its cross-entropy in nats, `is_correct` whether it was the most probable, `weight` its weight.
        Tokens of weight 0 are not computed, and are 0 in the others too.
        """
        weight_BT = self._token_weight(batch)
        counts_BT = weight_BT > 0
        hidden_ND = self.dropout(features[self.slot][Feature.CAUSAL][0][:, :-1][counts_BT])
        target_N = batch[self.slot][:, 1:][counts_BT]
        score = self._score_sampled if self.training and self.config.sampled else self._score_all
        size = max(1, len(hidden_ND) if self.training else LOGITS_PER_CHUNK // len(self.output_embedding()))
        chunks = zip(torch.split(hidden_ND, size), torch.split(target_N, size), strict=True)
        scores = [score(hidden, target) for hidden, target in chunks]
        loss_BT, is_correct_BT = torch.zeros_like(weight_BT), torch.zeros_like(counts_BT)
        loss_BT[counts_BT] = torch.cat([loss for loss, _ in scores])
        is_correct_BT[counts_BT] = torch.cat([is_correct for _, is_correct in scores])
        return {"token_loss": loss_BT, "is_correct": is_correct_BT, "weight": weight_BT}

    def _score_all(self, hidden_ND: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
        logits_NV = self._logits(hidden_ND).float()
        smoothing = self.config.label_smoothing if self.training else 0.0
        loss_N = functional.cross_entropy(logits_NV, target_N, reduction="none", label_smoothing=smoothing)
        return loss_N, logits_NV.argmax(dim=-1) == target_N

    def _score_sampled(self, hidden_ND: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss over one sample for all positions, corrected for the sampling probability."""
        table = self.output_embedding()
        sample_S = torch.randint(len(table), (self.config.sampled,), device=table.device)
        sampled_NS = functional.linear(hidden_ND, table[sample_S]).float() + math.log(len(table) / len(sample_S))
        sampled_NS = sampled_NS.masked_fill(sample_S == target_N[:, None], -math.inf)
        own_N = (hidden_ND * table[target_N]).sum(dim=-1).float()
        logits_NS = torch.cat([own_N[:, None], sampled_NS], dim=1)
        loss_N = functional.cross_entropy(logits_NS, torch.zeros_like(target_N), reduction="none")
        return loss_N, logits_NS.argmax(dim=-1) == 0

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted mean cross-entropy in nats per token."""
        return _weighted_mean(outputs["token_loss"], outputs["weight"])

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the weighted fraction of tokens that were the most probable."""
        return {"accuracy": _weighted_mean(outputs["is_correct"].float(), outputs["weight"])}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `logits` [B, V] of the token after the last real token."""
        return {"logits": self._logits(last_position(features[self.slot][Feature.CAUSAL][0], batch.get(self._mask)))}

    @property
    def _mask(self) -> str:
        return f"{self.slot}_mask"

    def _token_weight(self, batch: Mapping[str, Tensor]) -> Tensor:
        weight = batch.get(f"{self.slot}_weight", batch.get(self._mask))
        return (torch.ones_like(batch[self.slot]) if weight is None else weight)[:, 1:].float()

    def _logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.output_embedding())


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / divisor(weight.sum(), at_least=1e-9)
