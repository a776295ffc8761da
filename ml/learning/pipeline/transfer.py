"""What a new network takes over from a base model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.learning.nn.network import Network
    from ml.learning.pipeline.base_models import BaseModels


@dataclass(frozen=True, slots=True)
class Transfer:
    """Tensors by name: `backbones.image.stages.0.0.weight`."""

    kept: list[str]
    new: list[str]
    """In the network but not in the base model, or of another shape: they start from chance."""
    dropped: list[str]
    """In the base model but not in the network, or not asked for."""

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def take_over(network: Network, bases: BaseModels, *, labels: Sequence[str] | None) -> Transfer:
    """Load every tensor that has the same name, shape and meaning."""
    own = network.state_dict()
    theirs, left = bases.tensors(labels=labels)
    fitting = {name: each for name, each in theirs.items() if name in own and own[name].shape == each.shape}
    network.load_state_dict(fitting, strict=False)
    dropped = {*left, *theirs} - fitting.keys()
    return Transfer(kept=sorted(fitting), new=sorted(own.keys() - fitting.keys()), dropped=sorted(dropped))
