"""Next-item head: predicts the item after each item of a history.

B batch, T positions of a history, V items, D width, N positions that count, S sampled items.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.errors import SpecError
from ml.learning.nn.batch_parts import divisor
from ml.learning.nn.heads._item_vectors import ItemVectors
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.causal_mask import last_position
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Backbone, Features, Widths

#: Limit of the logits computed at a time in evaluation.
LOGITS_PER_CHUNK: Final = 1 << 24
#: Suffix of the array of vectors of new items, float32 [B, T, D]: zeros at items of the table.
VECTORS: Final = "_vectors"


class NextItemConfig(Config):
    """Options of the next-item head."""

    sequence: str = Field("history", description="Slot of the histories.")
    text: str = Field("text", description="Slot that reads the texts of items.")
    own: int = Field(ge=1, description="The first codes, whose items have a vector of their own.")
    negatives: int = Field(ge=1, description="The first codes, which may be negative items: those seen in training.")
    own_dropout: float = Field(0.3, ge=0, lt=1, description="Fraction of own vectors that a training step leaves out.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of features that training sets to zero.")
    sampled: int = Field(0, ge=0, description="Negative items of a training step, drawn uniformly; 0 for all.")


class NextItem(Head):
    """Logits are products of the state of a history with the vectors of items.

    Input and output share the vectors. Negative items come from those seen in training: an unseen item would only ever
    be a negative one, and its text would be learned as unwanted.
    """

    name = "next_item"
    summary = "Predicts the next item after each item, by texts and own vectors"
    needs = frozenset({Feature.CAUSAL, Feature.POOLED})
    config_type = NextItemConfig
    outputs = ("logits", "state", "item_vector")
    scores = ("accuracy",)

    def __init__(self, config: NextItemConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        self.config = config
        self.slot, self.text_slot = config.sequence, config.text
        sequence, text = widths[self.slot], widths[self.text_slot]
        self.dropout = nn.Dropout(config.dropout)
        self.items = ItemVectors(
            sequence.shape["vocabulary"],
            length=text.shape["length"],
            text_width=text.pooled,
            width=sequence.causal,
            own=config.own,
            own_dropout=config.own_dropout,
        )

    def bind_backbones(self, backbones: Mapping[str, Backbone]) -> None:
        """Make the backbone of the histories read the vectors of this head.

        Raises `SpecError` for a backbone whose embedding has another width than its features.
        """
        history = backbones[self.slot]
        weight = history.token_embedding()
        tables = [
            module for module in history.modules() if isinstance(module, nn.Embedding) and module.weight is weight
        ]
        if not tables or tables[0].embedding_dim != self.items.projection.out_features:
            message = f"the embedding of {history.name} in this size is not as wide as its features"
            raise SpecError(message, hint="Choose another size or architecture for the histories.")
        self.items.bind(tables[0], backbones[self.text_slot])

    def set_items(self, tokens_VL: Tensor, mask_VL: Tensor) -> None:
        """Store the texts of all items."""
        self.items.set_texts(tokens_VL, mask_VL)

    def receive(self, batch: Mapping[str, Tensor]) -> None:
        """Receive the vectors of new items in the histories, before these are read."""
        self.items.added_BTD = batch.get(f"{self.slot}{VECTORS}")

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return, for each item but the first, three tensors of shape [B, T - 1].

        `token_loss` is its cross-entropy in nats, `is_correct` whether it was the most probable, `weight` its weight.
        """
        weight_BT = self._item_weight(batch)
        counts_BT = weight_BT > 0
        hidden_ND = self.dropout(features[self.slot][Feature.CAUSAL][0][:, :-1][counts_BT])
        target_N = batch[self.slot][:, 1:][counts_BT]
        if self.training:
            embedded_BTD, self.items.embedded_BTD = self.items.embedded_BTD, None
            assert embedded_BTD is not None, "the histories were read just before"
            loss_N, is_correct_N = self._score_sampled(hidden_ND, target_N, embedded_BTD[:, 1:][counts_BT])
        else:
            size = max(1, LOGITS_PER_CHUNK // len(self.items.tokens))
            chunks = zip(torch.split(hidden_ND, size), torch.split(target_N, size), strict=True)
            scores = [self._score_all(hidden, target) for hidden, target in chunks]
            loss_N, is_correct_N = (torch.cat(parts) for parts in zip(*scores, strict=True))
        loss_BT, is_correct_BT = torch.zeros_like(weight_BT), torch.zeros_like(counts_BT)
        loss_BT[counts_BT] = loss_N
        is_correct_BT[counts_BT] = is_correct_N
        return {"token_loss": loss_BT, "is_correct": is_correct_BT, "weight": weight_BT}

    def _score_all(self, hidden_ND: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
        logits_NV = functional.linear(hidden_ND, self.items.table()).float()
        loss_N = functional.cross_entropy(logits_NV, target_N, reduction="none")
        return loss_N, logits_NV.argmax(dim=-1) == target_N

    def _score_sampled(self, hidden_ND: Tensor, target_N: Tensor, target_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss over one sample for all positions, corrected for the sampling probability."""
        count, sampled = self.config.negatives, self.config.sampled
        device = target_N.device
        sample_S = torch.randint(count, (sampled,), device=device) if sampled else torch.arange(count, device=device)
        logits_NS = functional.linear(hidden_ND, self.items.look_up(sample_S)).float() + math.log(count / len(sample_S))
        logits_NS = logits_NS.masked_fill(sample_S == target_N[:, None], -math.inf)
        own_N = (hidden_ND * target_ND).sum(dim=-1).float()
        logits_NS = torch.cat([own_N[:, None], logits_NS], dim=1)
        loss_N = functional.cross_entropy(logits_NS, torch.zeros_like(target_N), reduction="none")
        return loss_N, logits_NS.argmax(dim=-1) == 0

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted mean cross-entropy in nats per item."""
        return _weighted_mean(outputs["token_loss"], outputs["weight"])

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the weighted fraction of items that were the most probable."""
        return {"accuracy": _weighted_mean(outputs["is_correct"].float(), outputs["weight"])}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return what the signals in the batch give.

        Histories give the `logits` [B, V] of the next item, and the `state` [B, D], whose product with the vector of an
        item is its logit. Texts give the `item_vector` [N, D] of an item with this text.
        """
        outputs: Tensors = {}
        if self.text_slot in features:
            outputs["item_vector"] = self.items.project(features[self.text_slot])
        if self.slot in features:
            state_BD = last_position(features[self.slot][Feature.CAUSAL][0], batch.get(f"{self.slot}_mask"))
            outputs |= {"logits": functional.linear(state_BD, self.items.table()), "state": state_BD}
        return outputs

    def _item_weight(self, batch: Mapping[str, Tensor]) -> Tensor:
        weight = batch.get(f"{self.slot}_weight", batch.get(f"{self.slot}_mask"))
        weight_BT = torch.ones_like(batch[self.slot]) if weight is None else weight
        return weight_BT[:, 1:].float()


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / divisor(weight.sum(), at_least=1e-9)
