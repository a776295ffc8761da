"""Training objective: computes the loss of a batch."""

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
    """Base class of objectives, which own the network and all modules used only in training.

    Such modules are projections, teachers and masks. An objective without labels declares its inputs like a task: slots
    with the names of the canonical columns they read. An objective without slots trains a task, which declares them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    slots: ClassVar[Mapping[str, Slot]] = {}
    #: Canonical columns that a dataset must have, with their types.
    columns: ClassVar[Mapping[str, str]] = {}
    #: Slot -> encoder.
    encoders: ClassVar[Mapping[str, str]] = {}
    #: Names of the values of `forward` in evaluation, besides the loss and the scores of the head.
    scores: ClassVar[tuple[str, ...]] = ()
    config_type: ClassVar[type[Config]]
    #: Head trained with the backbone. It stays in the package, so that a task with the same head can start from it.
    head: ClassVar[str | None] = None
    #: Default schedule; precedes the architecture's.
    recipe: ClassVar[Schedule] = Schedule()
    #: Whether texts are packed into windows of the maximum length, so that long ones are not truncated.
    packs: ClassVar[bool] = False
    #: Whether it trains only heads that choose among classes (`Head.chooses`).
    needs_choices: ClassVar[bool] = False

    def __init__(self, config: Any, network: Network) -> None:
        super().__init__()
        self.config = config
        self.network = network

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Return default encoder options by slot; the user's options take precedence."""
        return {}

    def set_models(self, models: Mapping[str, Network]) -> None:
        """Receive, before training, the networks of the models that options name.

        They are keyed by option, in evaluation mode and on the device. They are not trained, saved or packaged, so an
        objective must not register them as modules.
        """

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return `loss` and further scores to plot: scalars, means over the batch."""
