"""Base class of tunings, which select the weights to train."""

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
    """Selection of weights to train: `apply` runs before training, `merge` after it.

    A package has no trace of the tuning that trained it.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    #: Whether a base model is required.
    needs_base: ClassVar[bool] = False
    config_type: ClassVar[type[Config]]
    #: Lower bound of the default learning rate, for tunings that train few weights.
    min_learning_rate: ClassVar[float] = 0.0

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config

    @classmethod
    def missing_requirement(cls, backbone: Backbone) -> str | None:
        """Describe a requirement that the backbone does not meet; None if there is none."""
        return None

    @abstractmethod
    def apply(self, network: Network) -> None:
        """Freeze, wrap or insert weights; sets `requires_grad` of all."""

    def parameter_groups(self, network: Network) -> Mapping[Parameter, ParameterGroupOptions]:
        """Return the options of weights that deviate from the schedule."""
        return {}

    def merge_choice(self, choice: Choice) -> Choice:
        """Return the architecture of a backbone after `merge`; the same if its structure is."""
        return choice

    @abstractmethod
    def merge(self, network: Network) -> None:
        """Undo the structural changes of `apply` and keep what was learned."""
