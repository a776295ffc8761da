"""What a task promises: in plain arrays, what goes in, what comes out, and how good it was.

The canonical row is where everything meets: a reader of files makes rows, an input of `/predict` is turned into one, and
`encode` and `collate` turn rows into arrays, in training and in serving alike, so that the two cannot drift apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from ml.config import Config
    from ml.data.dataset import DatasetSummary, Kind
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column, Encoder
    from ml.signals import Slot

Arrays = dict[str, "np.ndarray"]
"""What a network reads or answers: name -> [B, ...]. A slot's signal stands under the slot's name, its mask under
`{slot}_mask`; targets stand under names of their own (`label`)."""


class Wire(BaseModel):
    """Base of a task's input and output at `/predict`."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means: on which rows, weighted how; whether more is better."""

    summary: str
    higher_is_better: bool


@dataclass(slots=True)
class Evaluation:
    """How good a network is on one split. `extra` joins the report as it is (confusion matrix, per class, errors)."""

    metrics: dict[str, float]
    baseline: dict[str, float] = field(default_factory=dict)
    """The same metrics for the best answer that does not look at the input."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % confidence intervals."""
    extra: dict[str, Any] = field(default_factory=dict)


class Task(ABC):
    """Numpy only. An instance knows its config, its encoders by slot and what it has learned (its `state`)."""

    name: ClassVar[str]
    summary: ClassVar[str]
    slots: ClassVar[Mapping[str, Slot]]
    columns: ClassVar[Mapping[str, Kind]]
    """The canonical columns a dataset must have."""
    head: ClassVar[str]
    encoders: ClassVar[Mapping[str, str]]
    """Slot -> the encoder it reads with."""
    config_type: ClassVar[type[Config]]
    input_type: ClassVar[type[Wire]]
    output_type: ClassVar[type[Wire]]
    metrics: ClassVar[Mapping[str, Metric]]
    graph_inputs: ClassVar[tuple[str, ...]]
    """The arrays of `collate` that inference reads; the ONNX graph has inputs of these names."""

    def __init__(self, config: Any, encoders: Mapping[str, Encoder[Any]], state: Mapping[str, Any]) -> None:
        self.config = config
        self.slot_encoders = encoders
        self.state = dict(state)

    @classmethod
    @abstractmethod
    def learn(cls, config: Any, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """What the task must know of its data (label names, in order), as JSON; travels with the model."""

    @classmethod
    @abstractmethod
    def refuse(cls, summary: DatasetSummary) -> list[str]:
        """Why this dataset cannot be used, in words for its owner; empty when it can."""

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """What the head must know beside the widths of its features (`{"classes": 10}`)."""

    @abstractmethod
    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """An input of `/predict` (an `input_type`) as a canonical row, without targets; raises `InputError`."""

    @abstractmethod
    def show(self, row: Row) -> tuple[Wire, Any]:
        """A canonical row as the input it would have been and its target as JSON; for previews."""

    @abstractmethod
    def encode(self, rows: Rows) -> dict[str, Column]:
        """Compact arrays by name, targets included where the rows have them."""

    @abstractmethod
    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Change one training batch as the config asks; same names and lengths."""

    @abstractmethod
    def collate(self, columns: dict[str, Column]) -> Arrays:
        """A batch as the network reads it."""

    @abstractmethod
    def decode(self, outputs: Arrays, *, parameters: Mapping[str, Any]) -> list[Wire]:
        """One answer per row, in order."""

    @abstractmethod
    def evaluate(self, outputs: Arrays, columns: dict[str, Column], *, train: dict[str, Column] | None) -> Evaluation:
        """Judge the outputs of a whole split; with `train`, also the trivial baseline learned there."""

    @classmethod
    @abstractmethod
    def example(cls) -> tuple[Wire, Wire]:
        """An input and an output, for the documentation and for tests."""
