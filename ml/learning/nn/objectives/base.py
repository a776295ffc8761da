"""What an objective promises: a loss for a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ml.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.config import Config
    from ml.data.dataset import DatasetSummary
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network
    from ml.signals import Slot


class Objective(nn.Module, ABC):
    """Owns the network and every part that exists only while training: projections, teachers, masks.

    One that learns without labels says what it reads as a task would: its slots, named like the canonical columns they
    read. Where there are none it trains a task, and the task says.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    slots: ClassVar[Mapping[str, Slot]] = {}
    columns: ClassVar[Mapping[str, str]] = {}
    """The canonical columns a dataset must have."""
    encoders: ClassVar[Mapping[str, str]] = {}
    """Slot -> the encoder it reads with."""
    scores: ClassVar[tuple[str, ...]] = ()
    """What `forward` gives outside of training, beside the loss and the scores of the head."""
    config_type: ClassVar[type[Config]]
    head: ClassVar[str | None] = None
    """The head that it trains along and that stays in the package, for a task that has the same to start from."""
    recipe: ClassVar[Schedule] = Schedule()
    """Goes before the architecture's."""
    packs: ClassVar[bool] = False
    """Whether texts are laid into windows of the longest length, so that nothing of long ones is cut off."""
    needs_choices: ClassVar[bool] = False
    """Trains only heads that choose (`Head.chooses`)."""

    def __init__(self, config: Any, network: Network) -> None:
        super().__init__()
        self.config = config
        self.network = network

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """By slot, what an encoder is to be where the user does not say, and need not learn from the data."""
        return {}

    def consult(self, models: Mapping[str, Network]) -> None:
        """Told before training: the networks of models that options name, by option, in evaluation, on the device.

        They are no part of what is trained, saved or packaged; an objective keeps them out of its modules.
        """

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """`loss`, and whatever else is worth a curve: scalars, means over the batch."""
