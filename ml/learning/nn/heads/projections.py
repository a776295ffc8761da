"""Projection head: two modalities in one embedding space, in which pairs are close.

B batch, D width of the space.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import gather_rows
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

#: Bound of the learned scale, without which training becomes unstable (Radford et al. 2021, section 2.5).
MAX_SCALE: Final = 100.0


class ProjectionsConfig(Config):
    """Width of the embedding space, and options of the contrastive loss."""

    width: Count = 128
    temperature: float = Field(
        0.07, gt=0, le=10, description="Initial temperature; it is learned (Radford et al. 2021, section 2.5)."
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the features that are set to zero in each training step."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Projections(Head):
    """Linear projection of the pooled features of each slot, normalized to length one.

    Similarity is the cosine (Radford et al. 2021, arXiv:2103.00020, figure 3).
    """

    name = "projections"
    summary = "Two modalities in one embedding space, in which pairs are close"
    needs = frozenset({Feature.POOLED})
    config_type = ProjectionsConfig
    outputs = ("image_embedding", "text_embedding", "scale")
    scores = ("pair_accuracy",)

    def __init__(self, config: ProjectionsConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        if len(widths) != 2:
            raise ValueError(f"projections require two slots, not {len(widths)}: {', '.join(widths) or 'none'}")
        self.config = config
        self.dropout = nn.Dropout(config.dropout)
        self.towers = nn.ModuleDict(
            {slot: nn.Linear(backbone.pooled, config.width, bias=False) for slot, backbone in widths.items()}
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `{slot}_embedding` [B, D] for each slot in the batch, and `scale` [B].

        The scale is the factor of cosines.
        """
        embeddings = {
            f"{slot}_embedding": functional.normalize(
                self.towers[slot](self.dropout(slot_features[Feature.POOLED][0])).float(), dim=1
            )
            for slot, slot_features in features.items()
        }
        ones_B = torch.ones_like(next(iter(embeddings.values()))[:, 0])
        return {**embeddings, "scale": self.scale() * ones_B}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the symmetric contrastive loss: the mean of both directions.

        The target of an item is its pair, among all items of the other modality in the batch.
        """
        logits_BB = self._pair_logits(outputs)
        pair = torch.arange(len(logits_BB), device=logits_BB.device)
        smoothing = self.config.label_smoothing
        return torch.stack(
            [functional.cross_entropy(logits, pair, label_smoothing=smoothing) for logits in (logits_BB, logits_BB.T)]
        ).mean()

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the fraction of items whose pair is nearest, over both directions."""
        logits_BB = self._pair_logits(outputs)
        pair = torch.arange(len(logits_BB), device=logits_BB.device)
        hits = torch.stack([logits.argmax(dim=1) == pair for logits in (logits_BB, logits_BB.T)])
        return {"pair_accuracy": hits.float().mean()}

    def scale(self) -> Tensor:
        """Return the factor of cosines, the reciprocal of the temperature."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def _pair_logits(self, outputs: Tensors) -> Tensor:
        first, second = (gather_rows(outputs[f"{slot}_embedding"]) for slot in self.towers)
        return outputs["scale"][0] * first @ second.T
