"""Head: turns features into outputs, and computes the loss against the targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from ml.config import Config
    from ml.learning.nn.architectures.base import Backbone, Features, Widths
    from ml.signals import Feature

#: Batch or outputs by name: `ml.signals.Arrays` on a device.
Tensors = dict[str, Tensor]


class Head(nn.Module, ABC):
    """Base class of heads, which read features by slot and return outputs by name."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[frozenset[Feature]]
    config_type: ClassVar[type[Config]]
    #: Names of the outputs of `infer`.
    outputs: ClassVar[tuple[str, ...]]
    #: Names of the values of `measure`.
    scores: ClassVar[tuple[str, ...]] = ()
    #: Whether it chooses one of several classes; then `choice_logits` returns their logits.
    chooses: ClassVar[bool] = False
    #: Dimension along which a tensor has one slice for each label, by name of the tensor.
    label_dimensions: ClassVar[Mapping[str, int]] = {}
    #: Name of the array of the batch, int64 [B], that conditions the backbones; empty for none.
    condition: ClassVar[str] = ""
    #: Number of values of that array; 0 without a condition.
    conditions: int = 0

    @abstractmethod
    def __init__(self, config: Any, *, widths: Mapping[str, Widths]) -> None:
        super().__init__()

    @classmethod
    def count_conditions(cls, config: Any) -> int:
        """Return `conditions` of a head with this config.

        Backbones need it, which are built before the head.
        """
        return 0

    def bind_backbones(self, backbones: Mapping[str, Backbone]) -> None:
        """Receive the backbones by slot, once, when the network is built.

        A head that uses weights of a backbone (`Backbone.token_embedding`) stores the method that returns them, not the
        weights: they are saved, trained and counted as part of the backbone only.
        """

    def set_items(self, tokens_VL: Tensor, mask_VL: Tensor) -> None:
        """Receive the texts of all V items, once, before training.

        `tokens_VL` is int64, `mask_VL` bool.
        """
        raise NotImplementedError(f"{self.name} reads no texts of items")

    def receive(self, batch: Mapping[str, Tensor]) -> None:
        """Receive a batch before the backbones read it."""

    @abstractmethod
    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return the outputs for the loss."""

    @abstractmethod
    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss, the mean over the batch."""

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return further scores to plot beside the loss, as means over the batch."""
        return {}

    def choice_logits(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of all choices that count in the loss, [N, K], without padding."""
        raise NotImplementedError(f"{self.name} does not choose among classes")

    def strip_training_only(self) -> None:
        """Remove modules used only in training."""

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return the outputs for `Task.decode`."""
        return self(features, batch)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
