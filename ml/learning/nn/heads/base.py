"""What a head promises: features in, outputs out, and the loss between them and the targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from ml.config import Config
    from ml.learning.nn.architectures.base import Backbone, Features, Widths
    from ml.signals import Feature

Tensors = dict[str, Tensor]
"""A batch or an answer by name, as `ml.signals.Arrays` on a device."""


class Head(nn.Module, ABC):
    """Reads features by slot, writes outputs by name."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[frozenset[Feature]]
    config_type: ClassVar[type[Config]]
    outputs: ClassVar[tuple[str, ...]]
    """The names of what `infer` answers."""
    scores: ClassVar[tuple[str, ...]] = ()
    """The names of what `measure` gives."""
    chooses: ClassVar[bool] = False
    """Whether its outputs are choices of one among several: `choices` gives their scores."""
    condition: ClassVar[str] = ""
    """The batch's array (int64 [B]) that the backbones are told beside their signal, if any."""
    conditions: int = 0
    """How many values it can take."""

    @abstractmethod
    def __init__(self, config: Any, *, widths: Mapping[str, Widths]) -> None:
        super().__init__()

    @classmethod
    def conditions_of(cls, config: Any) -> int:
        """How many conditions a head of this config has; asked before it is built, for the backbones come first."""
        return 0

    def share(self, backbones: Mapping[str, Backbone]) -> None:
        """Told once, when a network is put together: the backbones whose features it will read, by slot.

        A head that uses weights of theirs (`Backbone.table`) keeps a way to ask for them, not the weights: what belongs
        to a backbone is saved, trained and counted there alone.
        """

    @abstractmethod
    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Outputs, as the loss wants them."""

    @abstractmethod
    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """One number to be made smaller: the mean over the batch."""

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """What else is worth a curve beside the loss, as means over the batch."""
        return {}

    def choices(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """[N, K]: the scores (logits) of all choices that the loss judges, each row one, padding left out."""
        raise NotImplementedError(f"{self.name} does not choose")

    def strip_training_only(self) -> None:
        """Let go of what exists only while training."""

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Outputs, as `Task.decode` wants them."""
        return self(features, batch)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
