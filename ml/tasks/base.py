"""What a task promises: in plain arrays, what goes in, what comes out, and how good it was.

The canonical row is where everything meets: a reader of files makes rows, an input of `/predict` is turned into one,
and `encode` and `collate` turn rows into arrays, in training and in serving alike, so that the two cannot drift apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.encoders.base import collate_slots, encode_slots
from ml.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from ml.config import Config
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column, Encoder
    from ml.generation.loop import GeneratedSequence, GenerationLoop
    from ml.metrics.base import Evaluation, Metric
    from ml.signals import Arrays, Run, Slot
    from ml.wire import Wire

#: Output of a task for one input, as `/predict` returns it.
Answer = dict[str, Any]
MODEL: Final = "model"
"""The one graph of a task that answers at once."""


class Task(ABC):
    """Numpy only. An instance knows its config, its encoders by slot and what it has learned (its `state`)."""

    name: ClassVar[str]
    summary: ClassVar[str]
    slots: ClassVar[Mapping[str, Slot]]
    columns: ClassVar[Mapping[str, str]]
    """The canonical columns a dataset must have."""
    reads: ClassVar[Mapping[str, str]]
    """Slot -> the canonical column it reads. A name that is no slot is a target with an encoder of its own."""
    encoders: ClassVar[Mapping[str, str]]
    """The same names -> the encoder that reads the column."""
    head: ClassVar[str]
    config_type: ClassVar[type[Config]]
    input_type: ClassVar[type[Wire]]
    output_type: ClassVar[type[Wire]]
    metrics: ClassVar[Mapping[str, Metric]]
    graphs: ClassVar[Mapping[str, tuple[str, ...]]]
    """Graph -> the arrays that `Network.infer` reads for it, those it can do without included. The first reads what
    `collate` makes of an input; a task that loops has further ones, which read what earlier ones gave."""
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    """Of arrays that are no slot's signal, the axes beside the batch whose length differs between batches."""
    streams: ClassVar[bool] = False
    """Whether an answer can be had piece by piece, while it is being written (see `writing`)."""
    recipe: ClassVar[Schedule] = Schedule()
    """Goes before the architecture's, where learning this task takes longer, or other rates, than the usual one."""

    def __init__(self, config: Any, encoders: Mapping[str, Encoder[Any]], state: Mapping[str, Any]) -> None:
        self.config = config
        self.slot_encoders = encoders
        self.state = dict(state)

    @classmethod
    @abstractmethod
    def learn(cls, config: Any, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """What the task must know of its data (label names, in order), as JSON; travels with the model."""

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """By slot or target, what an encoder is to be where the user does not say, and need not learn from the data."""
        return {}

    @classmethod
    def shared_encoders(cls, config: Any) -> Mapping[str, str]:
        """Name -> the name whose encoder it has too, which is then learned from the columns of both."""
        return {}

    @classmethod
    def refuse(cls, summary: DatasetSummary) -> list[str]:
        """Why this dataset cannot be used, in words for its owner; empty when it can."""
        missing = [
            f"{cls.name} needs a column {column!r} of kind {kind}; the dataset has {_columns(summary)}"
            for column, kind in cls.columns.items()
            if summary.columns.get(column) != kind
        ]
        return missing + too_few(summary)

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """What the head must know beside the widths of its features (`{"classes": 10}`)."""

    def note_widths(self, widths: Mapping[str, Any]) -> None:  # noqa: B027 - few tasks need to know
        """Put into `state` what answering needs of the finished network: `widths` has pooled, latent, ... by slot."""

    @abstractmethod
    def read(self, given: Any, *, parameters: Mapping[str, Any]) -> Row:
        """An input of `/predict` (see `Wire.of`) as a canonical row, without targets; raises `InputError`."""

    @classmethod
    @abstractmethod
    def show(cls, row: Row) -> tuple[Wire, Any]:
        """A canonical row as the input it would have been and its target as JSON; for previews."""

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Compact arrays by name, targets included where the rows have them."""
        return encode_slots(self.slot_encoders, self.reads, rows)

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Change one training batch as the config asks; same names and lengths."""
        return columns

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """A batch as the network reads it."""
        return collate_slots(self.slot_encoders, columns)

    def answer(self, run: Run, batch: Arrays) -> Arrays:
        """What the network answers to a batch; where answering takes several steps, the loop over them."""
        return run(MODEL, batch)

    def writing(self, run: Run) -> GenerationLoop:
        """A loop that continuations of any requests may join. Only for a task that `streams`, like the next two."""
        raise NotImplementedError(f"{self.name} answers at once")

    def begun(self, batch: Arrays) -> list[GeneratedSequence]:
        """Each input of a batch, as it joins the loop."""
        raise NotImplementedError(f"{self.name} answers at once")

    def ended(self, one: GeneratedSequence) -> Answer:
        """The whole answer, once it has left the loop."""
        raise NotImplementedError(f"{self.name} answers at once")

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """`embedding`: what the backbones make of a batch. Usually the first graph gives it, which reads the input."""
        return run(next(iter(self.graphs)), batch)

    @abstractmethod
    def decode(self, arrays: Arrays) -> list[Answer]:
        """One answer per row, in order, from the network's outputs and, beside them, the batch it read.

        Each is what `output_type` looks like as JSON: who answers many builds it right away, without a model between.
        """

    def answer_rows(self, run: Run, batch: Arrays) -> Arrays:
        """What graphs make of rows that have targets, for `collect`: where nobody asks what they are judged by, more
        than `answer` does."""
        return self.answer(run, batch)

    def collect(self, outputs: Arrays, batch: Arrays, answer: Callable[[], Arrays]) -> Arrays:
        """What `evaluate` must know of one batch, one entry a row in each array.

        Usually the outputs of the head's `forward`. A task makes them small where those of a whole split would not fit
        in memory, and calls `answer` (see there) where it is judged by what it would really answer.
        """
        return outputs

    @abstractmethod
    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Judge what was collected of a whole split; with `train`, also the baseline learned there.

        An output is an array where the entries of all rows have one shape, else a list of arrays.
        """

    @classmethod
    @abstractmethod
    def example(cls) -> tuple[Wire, Wire]:
        """An input and an output, for the documentation and for tests."""


def embedding_graphs(slots: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The graphs of a base model, which only embeds: one; of several backbones, each its own, named like its slot."""
    signals: dict[str, tuple[str, ...]] = {slot: (slot, f"{slot}_mask") for slot in slots}
    return signals if len(signals) != 1 else dict(zip([MODEL], signals.values(), strict=True))


def too_few(summary: DatasetSummary) -> list[str]:
    """Two rows to learn from, as one has no spread to normalise by, and one to judge on that was not learned."""
    rows, judged = (summary.splits.get(split, 0) for split in ("train", "validation"))
    least = 2 if judged else 3
    return [] if rows >= least else [f"the dataset has {rows or 'no'} rows to train on; the least is {least}"]


def _columns(summary: DatasetSummary) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in summary.columns.items()) or "none"
