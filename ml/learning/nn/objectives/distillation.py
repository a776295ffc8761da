"""Knowledge distillation: train a student on the probabilities of a teacher model.

N choices (one for each row, or for each token of a sequence), K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.batch_parts import reweight
from ml.learning.nn.objectives.base import Objective
from ml.spec.schema import MODEL_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class DistillationConfig(Config):
    """Teacher model, and the weight of its outputs."""

    teacher: str = Field(
        json_schema_extra={"format": MODEL_FORMAT},
        description="Registered model for the same task, with the same labels (`digits-large@2`).",
    )
    temperature: float = Field(
        4.0,
        gt=0,
        le=1000,
        description="Divisor of the logits of both models; with a higher one, small probabilities count more.",
    )
    weight: float = Field(
        0.9, ge=0, le=1, description="Weight of the loss against the teacher; the rest is that of the labels."
    )


class Distillation(Objective):
    """Trains a student to predict the outputs of a fixed teacher.

    Both read the same arrays, augmentation included (Beyer et al. 2021, arXiv:2106.05237): the student uses the
    encoders of the teacher, unless its base model has its own, which must then be equal.
    """

    name = "distillation"
    summary = "Learn a task from the outputs of a trained model, and from the labels"
    source = "Hinton et al. 2015, arXiv:1503.02531"
    scores = ("agreement",)
    config_type = DistillationConfig
    needs_choices = True

    def __init__(self, config: DistillationConfig, network: Network) -> None:
        super().__init__(config, network)
        self._teacher: tuple[Network, ...] = ()  # in a tuple, so that it is not registered as a module

    def set_models(self, models: Mapping[str, Network]) -> None:
        """Store the teacher."""
        self._teacher = (models["teacher"].requires_grad_(False).eval(),)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the weighted sum of both losses, and the agreement with the teacher."""
        (teacher,) = self._teacher
        outputs, head = self.network(batch), self.network.require_head()
        with torch.no_grad():
            teacher_NK = teacher.require_head().choice_logits(teacher(batch), batch).float()
        student_NK = head.choice_logits(outputs, batch).float()
        divergence = softened_divergence(teacher_NK, student_NK, temperature=self.config.temperature)
        soft = reweight(divergence, len(teacher_NK))
        loss = self.config.weight * soft + (1 - self.config.weight) * head.loss(outputs, batch)
        if self.training:
            return {"loss": loss}
        agreement = (teacher_NK.argmax(dim=1) == student_NK.argmax(dim=1)).float().mean()
        return {"loss": loss, "agreement": agreement, **head.measure(outputs, batch)}


def softened_divergence(teacher_NK: Tensor, student_NK: Tensor, *, temperature: float) -> Tensor:
    """Return the Kullback-Leibler divergence of the softened outputs, in nats per choice.

    The arguments are logits. The result is multiplied by the squared temperature, so that gradients stay as large as
    those of the labels (section 2).
    """
    teacher, student = teacher_NK / temperature, student_NK / temperature
    divergence = functional.kl_div(
        student.log_softmax(dim=1), teacher.log_softmax(dim=1), log_target=True, reduction="batchmean"
    )
    return divergence * temperature**2
