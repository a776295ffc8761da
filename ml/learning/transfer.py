"""What a new network takes over from a base model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from ml.package import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.learning.network import Network
    from ml.package import ModelPackage


@dataclass(frozen=True, slots=True)
class Transfer:
    """Tensors by name: `backbones.image.stages.0.0.weight`."""

    kept: list[str]
    new: list[str]
    """In the network but not in the base model, or of another shape: they start from chance."""
    dropped: list[str]
    """In the base model but not in the network."""

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def take_over(network: Network, parent: ModelPackage, *, labels: Sequence[str] | None) -> Transfer:
    """Load every tensor that has the same name, shape and meaning.

    A head that tells other labels apart means something else, even where the shapes agree.
    """
    own = network.state_dict()
    theirs = load_file(parent.file(WEIGHTS))
    known = parent.manifest.labels
    other_head = known is not None and known != (None if labels is None else list(labels))
    fitting = {
        name: tensor
        for name, tensor in theirs.items()
        if name in own and own[name].shape == tensor.shape and not (other_head and name.startswith("head."))
    }
    network.load_state_dict(fitting, strict=False)
    return Transfer(
        kept=sorted(fitting), new=sorted(own.keys() - fitting.keys()), dropped=sorted(theirs.keys() - fitting.keys())
    )
