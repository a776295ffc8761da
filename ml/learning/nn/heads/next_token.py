"""Tells what comes next, of a vocabulary, after each token that was read.

B batch, T tokens, V vocabulary, D width, N places that count, S tokens of a sample.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.causal_mask import last_position
from ml.learning.nn.layers.output_embedding import OutputEmbedding
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

LOGITS_PER_CHUNK = 1 << 24
"""While judging: of a large vocabulary, the logits of a whole batch would not fit."""


class NextTokenConfig(Config):
    """Usually nothing to choose."""

    vocabulary: int = Field(0, ge=0)
    """Tokens that can come next; 0 for those that are read, and then one table serves reading and writing."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the features that the head goes without in each training step."""
    sampled: int = Field(0, ge=0)
    """In training, tell the right token from so many drawn evenly at each step; 0: from all. For vocabularies so large
    that most of a step would go into tokens that are not meant (Bengio & Senecal 2008)."""


class NextToken(OutputEmbedding, Head):
    """The likeness of what was read to the table's entry of each token, as its logit.

    The targets are the tokens themselves, one place on. Those that are padding do not count; where `{slot}_weight`,
    float32 [B, T], says how much each one counts, that holds instead. One table reads and writes (Press & Wolf 2016,
    arXiv:1608.05859) where it has the width of what the backbone gives.
    """

    name = "next_token"
    summary = "What comes next, after each token"
    needs = frozenset({Feature.CAUSAL})
    config_type = NextTokenConfig
    outputs = ("logits",)
    scores = ("accuracy",)

    def __init__(self, config: NextTokenConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, read),) = widths.items()  # one sequence is read, and goes on
        self.config = config
        self.width = read.causal
        self.dropout = nn.Dropout(config.dropout)
        self.write_with(config.vocabulary, slot=self.slot, width=self.width, read=read.shape["vocabulary"])

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Of each token but the first, [B, T - 1]: `nats`, its cross-entropy; `right`, if it was expected; `weight`.

        Where the weight is 0, the others are not computed and 0, too.
        """
        weight_BT = self._weight(batch)
        counts_BT = weight_BT > 0
        read_ND = self.dropout(features[self.slot][Feature.CAUSAL][0][:, :-1][counts_BT])
        wanted_N = batch[self.slot][:, 1:][counts_BT]
        judge = self._against_sample if self.training and self.config.sampled else self._against_all
        at_once = max(1, len(read_ND) if self.training else LOGITS_PER_CHUNK // len(self.table()))
        pieces = zip(torch.split(read_ND, at_once), torch.split(wanted_N, at_once), strict=True)
        judged = [judge(read, wanted) for read, wanted in pieces]
        nats_BT, right_BT = torch.zeros_like(weight_BT), torch.zeros_like(counts_BT)
        nats_BT[counts_BT] = torch.cat([nats for nats, _ in judged])
        right_BT[counts_BT] = torch.cat([right for _, right in judged])
        return {"nats": nats_BT, "right": right_BT, "weight": weight_BT}

    def _against_all(self, read_ND: Tensor, wanted_N: Tensor) -> tuple[Tensor, Tensor]:
        logits_NV = self._logits(read_ND).float()
        smoothing = self.config.label_smoothing if self.training else 0.0
        nats = functional.cross_entropy(logits_NV, wanted_N, reduction="none", label_smoothing=smoothing)
        return nats, logits_NV.argmax(dim=-1) == wanted_N

    def _against_sample(self, read_ND: Tensor, wanted_N: Tensor) -> tuple[Tensor, Tensor]:
        """The same sample for all: each of its tokens stands for as many of the vocabulary as it was drawn from."""
        table = self.table()
        sample_S = torch.randint(len(table), (self.config.sampled,), device=table.device)
        others_NS = functional.linear(read_ND, table[sample_S]).float() + math.log(len(table) / len(sample_S))
        others_NS = others_NS.masked_fill(sample_S == wanted_N[:, None], -math.inf)
        own_N = (read_ND * table[wanted_N]).sum(dim=-1).float()
        logits_NS = torch.cat([own_N[:, None], others_NS], dim=1)
        nats = functional.cross_entropy(logits_NS, torch.zeros_like(wanted_N), reduction="none")
        return nats, logits_NS.argmax(dim=-1) == 0

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy in nats a token, weighted."""
        return _mean(outputs["nats"], outputs["weight"])

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Share of tokens that were the most probable, weighted."""
        return {"accuracy": _mean(outputs["right"].float(), outputs["weight"])}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`logits` [B, V] of what follows the last real token."""
        return {"logits": self._logits(last_position(features[self.slot][Feature.CAUSAL][0], batch.get(self._mask)))}

    @property
    def _mask(self) -> str:
        return f"{self.slot}_mask"

    def _weight(self, batch: Mapping[str, Tensor]) -> Tensor:
        weight = batch.get(f"{self.slot}_weight", batch.get(self._mask))
        return (torch.ones_like(batch[self.slot]) if weight is None else weight)[:, 1:].float()

    def _logits(self, read: Tensor) -> Tensor:
        return functional.linear(read, self.table())


def _mean(each: Tensor, weight: Tensor) -> Tensor:
    return (each * weight).sum() / weight.sum().clamp(min=1e-9)
