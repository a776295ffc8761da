"""Signals of two kinds as points of one space, where those that belong together lie near each other.

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
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

SHARPEST: Final = 100.0
"""Radford et al. 2021, section 2.5: without a bound the training became unstable."""


class ProjectionsConfig(Config):
    """The space, and how sharply pairs are told apart."""

    width: Count = 128
    temperature: float = Field(0.07, gt=0, le=10)
    """At the start; it is learned (Radford et al. 2021, section 2.5)."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the features that a projection goes without in each training step."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Projections(Head):
    """Two towers: a linear layer over the pooled features of each slot, cut to length one. Nearness is the cosine.

    Radford et al. 2021, arXiv:2103.00020, figure 3.
    """

    name = "projections"
    summary = "Two kinds of signals in one space: what belongs together lies together"
    needs = frozenset({Feature.POOLED})
    config_type = ProjectionsConfig
    outputs = ("image_embedding", "text_embedding", "scale")
    scores = ("pair_accuracy",)

    def __init__(self, config: ProjectionsConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        if len(widths) != 2:
            raise ValueError(f"pairs are of two slots, not of {', '.join(widths) or 'none'}")
        self.config = config
        self.dropout = nn.Dropout(config.dropout)
        self.towers = nn.ModuleDict(
            {slot: nn.Linear(read.pooled, config.width, bias=False) for slot, read in widths.items()}
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`{slot}_embedding` [B, D] of length one for each slot that was read; `scale` [B], what cosines count."""
        found = {
            f"{slot}_embedding": functional.normalize(
                self.towers[slot](self.dropout(each[Feature.POOLED][0])).float(), dim=1
            )
            for slot, each in features.items()
        }
        each_row = torch.ones_like(next(iter(found.values()))[:, 0])
        return {**found, "scale": self.scale() * each_row}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Each must find its twin among all of the other kind in the batch: the mean of both directions."""
        likeness_BB = self._likeness(outputs)
        twin = torch.arange(len(likeness_BB), device=likeness_BB.device)
        smoothing = self.config.label_smoothing
        return torch.stack(
            [functional.cross_entropy(each, twin, label_smoothing=smoothing) for each in (likeness_BB, likeness_BB.T)]
        ).mean()

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """How often the twin is the nearest in the batch, both ways."""
        likeness_BB = self._likeness(outputs)
        twin = torch.arange(len(likeness_BB), device=likeness_BB.device)
        hits = torch.stack([each.argmax(dim=1) == twin for each in (likeness_BB, likeness_BB.T)])
        return {"pair_accuracy": hits.float().mean()}

    def scale(self) -> Tensor:
        """What cosines are multiplied by: one over the temperature."""
        return self.log_scale.exp().clamp(max=SHARPEST)

    def _likeness(self, outputs: Tensors) -> Tensor:
        first, second = (outputs[f"{slot}_embedding"] for slot in self.towers)
        return outputs["scale"][0] * first @ second.T
