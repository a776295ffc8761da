"""Base class of attacks, which search perturbations of a batch that raise the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ml.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.learning.training.perturbation import Perturbation


class AttackConfig(Config):
    """Set of allowed perturbations, and the weight of clean rows in training."""

    norm: Literal["linf", "l2"] | None = Field(
        None,
        description="Measure of a perturbation: the largest change of a value, or the Euclidean length; null: `linf` "
        "for images and audio, `l2` for texts, whose embeddings have no other.",
    )
    radius: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Largest perturbation. `linf`: of pixels in 0..1, of audio in standard deviations of a band. `l2`: "
        "of images in pixels; of audio and of embeddings as a fraction of their own length. Null: 0.1, for texts 0.02.",
    )
    clean_weight: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Weight of the loss on unperturbed rows in training, in 0..1. Null: 0, for texts 0.5, since they "
        "teach nothing under attack alone.",
    )


class Attack(ABC):
    """Search for perturbations of a batch within a radius that raise the loss."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    config_type: ClassVar[type[AttackConfig]]

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config

    @abstractmethod
    def search(
        self, loss: Callable[[Mapping[str, Tensor]], Tensor], perturbations: Mapping[str, Perturbation]
    ) -> dict[str, Tensor]:
        """Return the perturbation of each slot, without gradients.

        `loss` returns the mean loss of the batch under perturbations by slot.
        """


def ascend(
    loss: Callable[[Mapping[str, Tensor]], Tensor],
    perturbations: Mapping[str, Perturbation],
    *,
    steps: int,
    step_size: float,
    random_start: bool,
) -> dict[str, Tensor]:
    """Climb the loss by `steps` projected steps, each of `step_size` radii.

    Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """
    deltas = {
        slot: perturbation.random() if random_start else perturbation.zeros()
        for slot, perturbation in perturbations.items()
    }
    for _ in range(steps):
        for delta in deltas.values():
            delta.requires_grad_(True)
        gradients = torch.autograd.grad(loss(deltas), list(deltas.values()), allow_unused=True)
        deltas = {
            slot: perturbations[slot].step(delta.detach(), gradient, step_size)
            for (slot, delta), gradient in zip(deltas.items(), gradients, strict=True)
        }
    return {slot: delta.detach() for slot, delta in deltas.items()}
