"""A head that learns from features which were computed once, as its backbones are frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import Tensor

from ml.learning.nn.network import Network
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.learning.nn.architectures.base import Features
    from ml.learning.nn.heads.base import Head

#: End of the name of the column that has the pooled feature of a slot, float32 [N, D].
POOLED: Final = "_pooled"


class HeadOnFeatures(Network):
    """A network without backbones, whose batches have the pooled features of its slots."""

    def __init__(self, head: Head, slots: Sequence[str]) -> None:
        """`head` was built for backbones of these slots."""
        super().__init__({})
        self.head = head
        self._slots = tuple(slots)

    def extract_features(self, batch: Mapping[str, Tensor]) -> dict[str, Features]:
        """Return the features in the batch."""
        return {slot: {Feature.POOLED: (batch[f"{slot}{POOLED}"],)} for slot in self._slots}
