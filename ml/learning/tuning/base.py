"""What a tuning promises: it says which weights move, and leaves no trace of itself in the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ml.config import Config
    from ml.learning.network import Network


class Tuning(ABC):
    """`apply` before training, `merge` after."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    needs_base: ClassVar[bool] = False
    """Makes no sense from scratch."""
    config_type: ClassVar[type[Config]]

    def __init__(self, config: Any) -> None:  # the subclass's `config_type`
        self.config = config

    @abstractmethod
    def apply(self, network: Network) -> None:
        """Freeze, wrap or insert; from then on `requires_grad` is the truth."""

    @abstractmethod
    def merge(self, network: Network) -> None:
        """Undo what `apply` did to the structure, keeping what was learned: a package loads without its tuning."""
