"""Nested training: one network whose first units in every layer are narrower networks.

All sizes learn from each batch, as slimmable networks do (Yu et al. 2019, arXiv:1812.08928) and MatFormer (Devvrit et
al. 2023, arXiv:2310.07707). They share their weights. Each has batch normalization statistics of its own, since a
narrower network normalizes other sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import nn
from torch.func import functional_call

from ml.learning.nn.objectives.base import Objective
from ml.learning.nn.units import prefix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ml.config import Choice
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network
    from ml.learning.nn.units import Units

#: Suffix of the scores of a size, such as `accuracy_at_0.5`.
SCORE: Final = "{name}_at_{size:g}"


class NarrowNetwork(nn.Module):
    """A narrower network: the first units of each layer of a whole one."""

    def __init__(
        self, size: float, network: Network, architectures: Mapping[str, Choice], units: Sequence[tuple[Units, int]]
    ) -> None:
        """`units` are those of the whole network, with the number that this size has."""
        super().__init__()
        self.size = size
        self.architectures = dict(architectures)
        self.losses = _Losses(network.requires_grad_(False))
        self.units = units

    @property
    def network(self) -> Network:
        """The narrower network, with statistics of its own; its weights are stale until `copy_weights`."""
        return self.losses.network

    def forward(self, weights: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensors:
        """Return loss and scores of this size, computed with the weights of the whole network."""
        own = {f"network.{name}": tensor for name, tensor in prefix(weights, self.units).items()}
        losses: Tensors = functional_call(self.losses, own, (batch,))
        return losses

    def copy_weights(self, whole: nn.Module) -> None:
        """Give the narrower network its part of the weights, as tensors of its own."""
        weights = prefix(dict(whole.named_parameters()), self.units)
        self.network.load_state_dict({**self.network.state_dict(), **weights})


class NestedObjective(Objective):
    """An objective that all sizes of its network minimize together."""

    def __init__(self, objective: Objective, slices: Sequence[NarrowNetwork]) -> None:
        nn.Module.__init__(self)  # not `Objective.__init__`: the network is part of the objective alone
        self.config = objective.config
        self.objective = objective
        self.slices = nn.ModuleList(slices)
        self.typed_slices = list(slices)

    def set_models(self, models: Mapping[str, Network]) -> None:
        """Pass the models on to the objective."""
        self.objective.set_models(models)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the mean loss over all sizes, and in evaluation the scores of each.

        Those of a narrower size are named `..._at_0.5`.
        """
        whole: Tensors = self.objective(batch)
        weights = dict(self.objective.network.named_parameters())
        scores = {name: score for name, score in whole.items() if name != "loss"}
        loss = whole["loss"]
        for part in self.typed_slices:
            own: Tensors = part(weights, batch)
            loss = loss + own.pop("loss")
            scores |= {SCORE.format(name=name, size=part.size): score for name, score in own.items()}
        loss = loss / (len(self.slices) + 1)
        return {"loss": loss} if self.training else {**scores, "loss": loss}


class _Losses(nn.Module):
    """The losses of a network as a forward pass, for `functional_call`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        return self.network.compute_losses(batch)
