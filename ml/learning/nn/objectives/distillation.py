"""Learn what a model has learned: its answers, wrong ones included, say more than a label.

N choices (a row each; of a sequence, a token each), K that there are to choose from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.objectives.base import Objective
from ml.spec.schema import MODEL_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class DistillationConfig(Config):
    """Whom to learn from, and how far to trust it."""

    teacher: str = Field(json_schema_extra={"format": MODEL_FORMAT})
    """A registered model for the same task, with the same labels (`digits-large@2`)."""
    temperature: float = Field(4.0, gt=0, le=1000)
    """What both divide their logits by; the higher, the more the small probabilities count."""
    weight: float = Field(0.9, ge=0, le=1)
    """Of the teacher's answers; the rest is that of the labels."""


class Distillation(Objective):
    """A teacher that is as it is, and a student that learns to answer alike.

    Both read the very same arrays: the student reads with the teacher's encoders unless a base model brings its own,
    which must then be equal, so that augmented rows, too, are the same for both (Beyer et al. 2021, arXiv:2106.05237).
    """

    name = "distillation"
    summary = "Learn a task from a model that has learned it, and from the labels"
    source = "Hinton et al. 2015, arXiv:1503.02531"
    scores = ("agreement",)
    config_type = DistillationConfig
    needs_choices = True

    def __init__(self, config: DistillationConfig, network: Network) -> None:
        super().__init__(config, network)
        self._teacher: tuple[Network, ...] = ()  # no module: neither trained nor saved

    def consult(self, models: Mapping[str, Network]) -> None:
        """Take the teacher."""
        self._teacher = (models["teacher"].requires_grad_(False).eval(),)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The weighted sum of both losses, and the share of choices that both make alike."""
        (teacher,) = self._teacher
        outputs, head = self.network(batch), self.network.needed_head()
        with torch.no_grad():
            taught_NK = teacher.needed_head().choices(teacher(batch), batch).float()
        learned_NK = head.choices(outputs, batch).float()
        soft = softened_divergence(taught_NK, learned_NK, temperature=self.config.temperature)
        loss = self.config.weight * soft + (1 - self.config.weight) * head.loss(outputs, batch)
        if self.training:
            return {"loss": loss}
        agreement = (taught_NK.argmax(dim=1) == learned_NK.argmax(dim=1)).float().mean()
        return {"loss": loss, "agreement": agreement, **head.measure(outputs, batch)}


def softened_divergence(taught_NK: Tensor, learned_NK: Tensor, *, temperature: float) -> Tensor:
    """Kullback-Leibler divergence between both answers at a temperature, in nats a choice.

    Times the temperature squared, so that gradients stay as large as those of the labels (section 2).
    """
    taught, learned = taught_NK / temperature, learned_NK / temperature
    divergence = functional.kl_div(
        learned.log_softmax(dim=1), taught.log_softmax(dim=1), log_target=True, reduction="batchmean"
    )
    return divergence * temperature**2
