"""Fast gradient sign method: one step along the gradient, from a random start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml.learning.training.attacks.base import Attack, AttackConfig, ascend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from ml.learning.training.perturbation import Perturbation


class FGSMConfig(AttackConfig):
    """Start and length of the step."""

    random_start: bool = Field(
        True, description="Start at a random point within the radius; without it, training often learns nothing useful."
    )
    step_size: float = Field(1.25, gt=0, le=10, description="Length of the step, in radii.")


class FGSM(Attack):
    """One step of the radius, as cheap as a second training step."""

    name = "fgsm"
    summary = "One step along the gradient; training takes about twice as long"
    source = "Goodfellow et al. 2015, arXiv:1412.6572; random start: Wong et al. 2020, arXiv:2001.03994"
    config_type = FGSMConfig

    def search(
        self, loss: Callable[[Mapping[str, Tensor]], Tensor], perturbations: Mapping[str, Perturbation]
    ) -> dict[str, Tensor]:
        """Take one step."""
        config = self.config
        return ascend(loss, perturbations, steps=1, step_size=config.step_size, random_start=config.random_start)
