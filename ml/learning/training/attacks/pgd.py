"""Projected gradient descent: several small steps along the gradient, from a random start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml.learning.training.attacks.base import Attack, AttackConfig, ascend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from ml.learning.training.perturbation import Perturbation


class PGDConfig(AttackConfig):
    """Number and length of the steps."""

    steps: int = Field(7, ge=1, le=1000, description="Steps; training takes as many passes more.")
    step_size: float | None = Field(None, gt=0, le=10, description="Length of a step, in radii; null: 2.5 / steps.")


class PGD(Attack):
    """Steps that are projected back into the radius: the strongest first-order attack."""

    name = "pgd"
    summary = "Several projected steps along the gradient; stronger and slower than fgsm"
    source = "Madry et al. 2018, arXiv:1706.06083"
    config_type = PGDConfig

    def search(
        self, loss: Callable[[Mapping[str, Tensor]], Tensor], perturbations: Mapping[str, Perturbation]
    ) -> dict[str, Tensor]:
        """Take the steps."""
        config = self.config
        step_size = config.step_size or 2.5 / config.steps
        return ascend(loss, perturbations, steps=config.steps, step_size=step_size, random_start=True)
