"""What a tuning promises: it says which weights move, and leaves no trace of itself in the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.nn import Parameter

    from ml.config import Choice, Config
    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.network import Network
    from ml.learning.training.optimizers import ParameterGroupOptions


class Tuning(ABC):
    """`apply` before training, `merge` after."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    needs_base: ClassVar[bool] = False
    """Makes no sense from scratch."""
    config_type: ClassVar[type[Config]]
    min_learning_rate: ClassVar[float] = 0.0
    """The least learning rate that is usual, however slowly all weights of an architecture together would move."""

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config

    @classmethod
    def unmet(cls, backbone: Backbone) -> str | None:
        """What this tuning needs that the backbone has not; None where it fits."""
        return None

    @abstractmethod
    def apply(self, network: Network) -> None:
        """Freeze, wrap or insert; from then on `requires_grad` is the truth."""

    def parameter_groups(self, network: Network) -> Mapping[Parameter, ParameterGroupOptions]:
        """Of the weights that do not move as fast as all others, or not from the start."""
        return {}

    def merged(self, choice: Choice) -> Choice:
        """What a backbone is built by once this is merged; as before, where its structure is."""
        return choice

    @abstractmethod
    def merge(self, network: Network) -> None:
        """Undo what `apply` did to the structure, keeping what was learned: a package loads without its tuning."""
