"""Base classes of tasks: inputs, outputs and evaluation of models, in numpy arrays.

Everything passes through the canonical row: file formats produce rows, an input of `/predict` is converted to one, and
`encode` and `collate` convert rows to arrays, in training and in serving alike, so that the two cannot diverge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ml.encoders.base import collate_slots, encode_slots
from ml.schedule import Schedule
from ml.wire.text import LONG_TEXTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from ml.config import Config
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column, Encoder
    from ml.generation.loop import GeneratedSequence, GenerationLoop
    from ml.metrics.base import Evaluation, Metric
    from ml.metrics.calibration import Calibration
    from ml.signals import Arrays, Run, Slot
    from ml.wire import Wire

#: Output of a task for one input, as `/predict` returns it.
Output = dict[str, Any]
#: Name of the graph of a task that has only one.
MODEL: Final = "model"
MIN_TRAIN_ROWS: Final = 2


class BatchAdapter(ABC):
    """Converts canonical rows to batches: all that training needs of a task."""

    #: Encoders by slot, and by target for targets that have one.
    slot_encoders: Mapping[str, Encoder[Any]]
    #: Folder for rows that `encode` would keep in memory otherwise; None without one.
    scratch: Path | None = None

    @property
    def encodes_rows_alone(self) -> bool:
        """True if the encoding of a row depends on no other row."""
        return True

    @abstractmethod
    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode rows to compact arrays by name, with targets if the rows have them."""

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Vary one training batch; names and lengths stay the same."""
        return columns

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Collate columns into a batch for the network."""
        return collate_slots(self.slot_encoders, columns)


class TaskAdapter(BatchAdapter):
    """Converts inputs of `/predict` to rows and batches, and arrays of the network to outputs."""

    input_type: type[Wire]
    output_type: type[Wire]

    @abstractmethod
    def input_fields(self) -> Collection[str]:
        """Return the names of the fields that an input can have."""

    @property
    def ignored_fields(self) -> Collection[str]:
        """Names of further fields that an input may have, and that change nothing."""
        return ()

    @abstractmethod
    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of an input."""

    @abstractmethod
    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Convert an input of `/predict` (see `Wire.of`) to a canonical row without targets.

        Raises `InputError`.
        """

    @cached_property
    def text_columns(self) -> Mapping[str, str]:
        """Slot -> column of a row whose values may be longer than the network reads."""
        return {}

    def needs_split(self, row: Row) -> bool:
        """Return whether a row must pass through `split` before it is encoded."""
        return any(
            LONG_TEXTS in row or self.slot_encoders[slot].is_very_long(row[column])
            for slot, column in self.text_columns.items()
        )

    def split(self, row: Row) -> list[Row]:
        """Return a row for each window of its text, else the row itself.

        There are windows if the row has `long_texts`; their outputs are joined (see `ml.preprocessing.long_texts`).
        """
        rows = [{name: value for name, value in row.items() if name != LONG_TEXTS}]
        for slot, column in self.text_columns.items():
            split = partial(self.slot_encoders[slot].split, has_windows=LONG_TEXTS in row)
            rows = [{**part, column: value} for part in rows for value in split(part[column])]
        return rows

    def truncation(self, rows: Rows, columns: Mapping[str, Column]) -> dict[int, Output]:
        """Return by row the fields of its output that say how its text was read.

        Rows that were read whole are left out. `columns` are the encoded rows.
        """
        fields: dict[int, Output] = {}
        for slot, column in self.text_columns.items():
            encoder = self.slot_encoders[slot]
            for index, (value, encoded) in enumerate(zip(rows.columns[column], columns[slot], strict=True)):
                if own_fields := encoder.truncation(value, encoded):
                    fields[index] = own_fields
        return fields

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Run the graphs on a batch, in a loop if prediction takes several steps."""
        return run(MODEL, batch)

    @property
    def calibration(self) -> Calibration | None:
        """Calibration of the probabilities; None without one."""
        return None

    @abstractmethod
    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """Return `embedding` [B, D], if the graphs have that output, and possibly others."""

    @abstractmethod
    def decode(self, arrays: Arrays) -> list[Output]:
        """Convert the outputs of the network to one output per row, in order.

        `arrays` also has the batch. Each output is `output_type` as JSON. Code that must be fast may build it without
        an instance.
        """

    @abstractmethod
    def example(self) -> tuple[Wire, Wire]:
        """Return an example input and output, for the documentation and for tests."""

    def example_input(self) -> Wire:
        """Return an example input that this model reads."""
        return self.example()[0]


class Task(TaskAdapter):
    """A task that a model can be trained for, in numpy only.

    An instance has a config, encoders by slot, and a `state`, which it learned from the training data.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    slots: ClassVar[Mapping[str, Slot]]
    #: Slots that read the table of items rather than a column of the rows.
    table_slots: ClassVar[frozenset[str]] = frozenset()
    #: Whether held-out rows are about other subjects (patients, speakers) than those of train.
    separates_subjects: ClassVar[bool] = True
    #: Canonical columns that a dataset must have -> their column types.
    columns: ClassVar[Mapping[str, str]]
    #: Further canonical columns that it reads if a dataset has them -> their column types. Rows may lack their values.
    optional_columns: ClassVar[Mapping[str, str]] = {}
    #: Slot -> canonical column that its encoder reads. A name that is not a slot is a target with its own encoder.
    encoded_columns: ClassVar[Mapping[str, str]]
    #: The same names -> encoder.
    encoders: ClassVar[Mapping[str, str]]
    head: ClassVar[str]
    config_type: ClassVar[type[Config]]
    metrics: ClassVar[Mapping[str, Metric]]
    #: Graph -> arrays that `Network.infer` reads for it, optional ones included; `graph_inputs` adds those that depend
    #: on the network. The first graph reads what `collate` makes of an input; a task that loops has further graphs,
    #: which read outputs of earlier ones.
    graphs: ClassVar[Mapping[str, tuple[str, ...]]]
    #: For arrays that are not a signal of a slot: axes, besides that of the batch, whose length varies between batches.
    variable_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    #: Whether `calibrate` does something.
    is_calibrated: ClassVar[bool] = False
    #: Schedule that takes precedence over that of the architecture.
    recipe: ClassVar[Schedule] = Schedule()

    def __init__(self, config: Any, encoders: Mapping[str, Encoder[Any]], state: Mapping[str, Any]) -> None:
        self.config = config
        self.slot_encoders = encoders
        self.state = dict(state)

    @property
    def labels(self) -> Sequence[str]:
        """Class names in the order of their codes; empty if there are none."""
        labels: Sequence[str] = self.state.get("labels", [])
        return labels

    @classmethod
    @abstractmethod
    def learn(cls, config: Any, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the state that the task learns from the training data, as JSON.

        It is saved with the model, such as the class names.
        """

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Return default options of the encoders, by slot or target."""
        return {}

    @classmethod
    def shared_encoders(cls, config: Any) -> Mapping[str, str]:
        """Return name -> name whose encoder it shares.

        Such an encoder is learned from the columns of both.
        """
        return {}

    @classmethod
    def encoder_values(cls, name: str, rows: Rows) -> Sequence[Any]:
        """Return the values that the encoder of a slot or target learns from."""
        return rows.columns[cls.encoded_columns[name]]

    def item_texts(self, rows: Rows) -> tuple[np.ndarray, np.ndarray] | None:
        """Return tokens and mask of the texts of all items, [V, L]; None without texts."""
        return None

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Return the reasons why a dataset does not fit; empty if it fits."""
        return cls.missing_columns(summary) + check_row_counts(summary)

    def check_encoded(self, columns: Mapping[str, Column]) -> None:
        """Raise `DataError` if no encoded training row can be learned from."""

    @classmethod
    def check_options(cls, config: Mapping[str, Any], summary: DatasetSummary) -> list[str]:
        """Return the reasons why a dataset does not fit the task's options."""
        return []

    @classmethod
    def missing_columns(cls, summary: DatasetSummary) -> list[str]:
        """Return for each column that a dataset lacks that it does."""
        return [
            f"{cls.name} needs a column {column!r} of type {column_type}; the dataset has {_list_columns(summary)}"
            for column, column_type in cls.columns.items()
            if summary.columns.get(column) != column_type
        ] + [
            f"{cls.name} needs {summary.columns[column]} in every row; {summary.count_missing(column):,} rows have none"
            for column in cls.columns
            if summary.count_missing(column)
        ]

    @classmethod
    def select_slots(cls, config: Mapping[str, Any], summary: DatasetSummary | None) -> Mapping[str, Slot]:
        """Return the slots of a model, by the task's options and the dataset's columns.

        They are all that are possible if the dataset is not known yet.
        """
        return cls.slots

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """Return the options of the head, such as `{"classes": 10}`, without widths."""

    def bind_widths(self, widths: Mapping[str, Any]) -> None:
        """Store in `state` the widths of the network that prediction needs.

        `widths` has pooled, latent, ... by slot.
        """

    def graph_inputs(self) -> Mapping[str, tuple[str, ...]]:
        """Return `graphs` with all arrays; those of a state depend on the network."""
        return self.graphs

    def graph_axes(self) -> Mapping[str, tuple[int, ...]]:
        """Return `variable_axes` of all arrays."""
        return self.variable_axes

    @cached_property
    def text_columns(self) -> Mapping[str, str]:
        """Slots whose encoder may cut a value, and the column it reads."""
        return {
            slot: self.encoded_columns[slot]
            for slot in self.slots
            if slot in self.encoded_columns and self.slot_encoders[slot].can_truncate
        }

    def input_fields(self) -> Collection[str]:
        """Return the fields of `input_type`."""
        return self.input_type.model_fields

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of `input_type`."""
        return self.input_type.model_json_schema()

    def store_rows(self, splits: Mapping[str, Rows]) -> None:
        """Store what predictions need of the rows of all splits, once training has ended."""

    def save_files(self, folder: Path) -> None:
        """Write what it stores beside its state into a folder, which exists."""

    def load_files(self, files: Mapping[str, Path]) -> None:
        """Load what `save_files` wrote, by name; raises `OSError`, or `ValueError` for a damaged file."""

    def calibrate(
        self,
        outputs: Mapping[str, Column],
        columns: Mapping[str, Column],
        *,
        folds: Sequence[tuple[Mapping[str, Column], Mapping[str, Column]]] = (),
    ) -> None:
        """Store in `state` what validation rows teach about probabilities.

        `outputs` are those that `evaluate` reads. No prediction changes by it but the probabilities.
        """

    @classmethod
    @abstractmethod
    def to_input_and_target(cls, row: Row) -> tuple[Wire, Any]:
        """Convert a canonical row to an input, and its target as JSON; for previews.

        `read` would convert the input to the same row.
        """

    def request_of(self, row: Row) -> Wire:
        """Return a request like a row; graphs are traced and compared on such."""
        return self.to_input_and_target(row)[0]

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode the columns that have an encoder."""
        return encode_slots(self.slot_encoders, self.encoded_columns, rows)

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """Run the first graph, which reads the input and usually outputs `embedding`, too."""
        return run(next(iter(self.graphs)), batch)

    def predict_with_targets(self, run: Run, batch: Arrays) -> Arrays:
        """Run the graphs on rows that have targets, for `collect`.

        It does more than `predict` if what `evaluate` needs is not part of a prediction.
        """
        return self.predict(run, batch)

    def collect(self, outputs: Arrays, batch: Arrays, predict: Callable[[], Arrays]) -> Arrays:
        """Return what `evaluate` needs of one batch, with one entry per row in each array.

        Usually these are the outputs of the head's `forward`. A task reduces them if those of a whole split would not
        fit in memory, and calls `predict` if it evaluates real predictions.
        """
        return outputs

    @abstractmethod
    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Evaluate what `collect` returned for a whole split.

        With `train`, evaluate also the baseline that is learned from it. An output is an array if the entries of all
        rows have one shape, else a list of arrays.
        """

    @classmethod
    @abstractmethod
    def example(cls) -> tuple[Wire, Wire]:
        """Return an example input and output, for the documentation and for tests."""


class StreamingTask(Task):
    """A task whose output can be streamed while a generation loop writes it."""

    @abstractmethod
    def generation_loop(self, run: Run) -> GenerationLoop:
        """Return a loop that sequences of any requests may join."""

    @abstractmethod
    def start_sequences(self, batch: Arrays) -> list[GeneratedSequence]:
        """Return one sequence per row of a batch, ready to join the loop."""

    @abstractmethod
    def finish_sequence(self, sequence: GeneratedSequence) -> Output:
        """Return the whole output of a sequence that has left the loop."""

    @abstractmethod
    def take_log_probs(self, sequence: GeneratedSequence) -> list[Output] | None:
        """Return the log-probabilities of the newest text, as JSON; None if they were not requested."""


def embedding_graphs(slots: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the graphs of a base model, which only embeds.

    One backbone has one graph named `MODEL`; each of several backbones has its own, named like its slot.
    """
    signals: dict[str, tuple[str, ...]] = {slot: (slot, f"{slot}_mask") for slot in slots}
    return signals if len(signals) != 1 else dict(zip([MODEL], signals.values(), strict=True))


def check_row_counts(summary: DatasetSummary) -> list[str]:
    """Return why a dataset has too few rows for training; empty if it has enough.

    Normalization needs two training rows, as one has no spread, and evaluation needs a row that was not trained on.
    """
    train_rows, validation_rows = (summary.splits.get(split, 0) for split in ("train", "validation"))
    required = MIN_TRAIN_ROWS if validation_rows else MIN_TRAIN_ROWS + 1
    if train_rows >= required:
        return []
    return [f"the dataset has {train_rows or 'no'} rows to train on; the minimum is {required}"]


def _list_columns(summary: DatasetSummary) -> str:
    return ", ".join(f"{name} ({column_type})" for name, column_type in summary.columns.items()) or "none"
