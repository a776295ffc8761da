"""Adversarial training: an objective minimized on inputs that an attack has perturbed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from ml.learning.nn.batch_parts import exchanging
from ml.learning.nn.objectives.base import Objective
from ml.learning.training.attacks import ATTACKS
from ml.learning.training.perturbation import CLEAN_WEIGHTS, DEFAULTS, PerturbationSpace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ml.config import Choice
    from ml.encoders.base import Encoder
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network
    from ml.learning.training.attacks.base import Attack, AttackConfig
    from ml.learning.training.perturbation import Perturbation

#: Prefix of the scores of an objective under attack.
ROBUST: Final = "robust_"


class AdversarialObjective(Objective):
    """An objective under attack (Madry et al. 2018, arXiv:1706.06083, equation 2.1).

    The attack runs in evaluation mode, so that dropout does not hide the gradient and batch statistics come from what
    is trained on.
    """

    def __init__(self, objective: Objective, attack: Attack, spaces: Collection[PerturbationSpace]) -> None:
        nn.Module.__init__(self)  # not `Objective.__init__`: the network is part of the objective alone
        self.config = objective.config
        self.objective = objective
        self.attack = attack
        self.spaces = spaces

    @property
    def clean_weight(self) -> float:
        """Weight of the loss on rows as they are, in 0..1."""
        weight: float | None = self.attack.config.clean_weight
        if weight is not None:
            return weight
        return max((CLEAN_WEIGHTS.get(space.encoder.signal, 0.0) for space in self.spaces), default=0.0)

    def set_models(self, models: Mapping[str, Network]) -> None:
        """Pass the models on to the objective."""
        self.objective.set_models(models)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the weighted loss, and in evaluation all scores.

        Those under attack are named `robust_...`.
        """
        weight = self.clean_weight
        # A slot that reads a table of items is no part of a batch.
        perturbations = {space.slot: space.perturbation(batch) for space in self.spaces if space.slot in batch}
        deltas = self._search(batch, perturbations)
        with perturb(batch, perturbations, deltas) as perturbed_batch:
            attacked: Tensors = self.objective(perturbed_batch)
        if self.training and weight == 0:
            return attacked
        clean: Tensors = self.objective(batch)
        loss = weight * clean["loss"] + (1 - weight) * attacked["loss"]
        if self.training:
            return {"loss": loss}
        scores = {f"{ROBUST}{name}": score for name, score in attacked.items() if name != "loss"}
        return {**clean, **scores, "loss": loss}

    def _search(self, batch: Mapping[str, Tensor], perturbations: Mapping[str, Perturbation]) -> dict[str, Tensor]:
        training = self.training

        def loss(deltas: Mapping[str, Tensor]) -> Tensor:
            with perturb(batch, perturbations, deltas) as perturbed_batch:
                value: Tensor = self.objective(perturbed_batch)["loss"]
                return value

        self.objective.eval()
        # Each row has an attack of its own, whatever the other parts of its batch contain.
        with torch.enable_grad(), differentiable(self.objective), exchanging(None):
            deltas = self.attack.search(loss, perturbations)
        self.objective.train(training)
        return deltas


def adversarial_objective(
    objective: Objective, adversary: Choice, encoders: Mapping[str, Encoder[Any]]
) -> AdversarialObjective:
    """Put an objective under an attack on each slot that can be perturbed."""
    attack_type = ATTACKS[adversary.name]
    attack = attack_type(attack_type.config_type.model_validate(adversary.config))
    return AdversarialObjective(objective, attack, perturbation_spaces(objective.network, encoders, attack.config))


def perturbation_spaces(
    network: Network, encoders: Mapping[str, Encoder[Any]], config: AttackConfig
) -> list[PerturbationSpace]:
    """Return the spaces of the slots of a network that can be perturbed."""
    return [
        PerturbationSpace.of(slot, encoders[slot], backbone, norm=config.norm, radius=config.radius)
        for slot, backbone in network.typed_backbones.items()
        if encoders[slot].signal in DEFAULTS
    ]


@contextlib.contextmanager
def perturb(
    batch: Mapping[str, Tensor], perturbations: Mapping[str, Perturbation], deltas: Mapping[str, Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Perturb every slot of a batch inside of the context."""
    with contextlib.ExitStack() as stack:
        current = dict(batch)
        for slot, perturbation in perturbations.items():
            current = stack.enter_context(perturbation.apply(current, deltas[slot]))
        yield current


@contextlib.contextmanager
def differentiable(module: nn.Module) -> Iterator[None]:
    """Allow gradients of recurrent layers in evaluation mode, which cuDNN lacks."""
    is_recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    with torch.backends.cudnn.flags(enabled=False) if is_recurrent else contextlib.nullcontext():
        yield
