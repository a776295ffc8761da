"""Task adapters of base models, whose output is the embedding of an input."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.encoders.base import collate_slots, encode_slots
from ml.errors import PARAMETERS, InputError
from ml.tasks.base import MODEL, TaskAdapter
from ml.wire import INPUT_OF, LongTextInput, LongTextOutput, Wire
from ml.wire.text import LONG_TEXTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column, Encoder
    from ml.signals import Arrays, Run
    from ml.tasks.base import Output
    from ml.wire import RawInput

EMBEDDING: Final = "embedding"
#: Column of an input that any slot may have read: (slot, value).
_SLOT_VALUE: Final = "slot_value"


class EmbeddingOutput(Wire):
    """The embedding of an input: a vector that is close to those of similar inputs."""

    embedding: list[float]


class TextEmbeddingOutput(EmbeddingOutput, LongTextOutput):
    """The embedding of an input, and how much was read of a text."""


class EmbeddingAdapter(TaskAdapter):
    """Adapter of a base model with one backbone."""

    output_type: type[EmbeddingOutput] = EmbeddingOutput

    def __init__(self, encoders: Mapping[str, Encoder[Any]]) -> None:
        """Use `embedding_adapter` to get the adapter that fits the number of backbones."""
        self.slot_encoders = encoders
        self.slot, encoder = next(iter(encoders.items()))
        self.input_type: type[RawInput] = INPUT_OF[encoder.name]
        self.output_type = embedding_output(encoder.name for encoder in encoders.values())

    def input_fields(self) -> Collection[str]:
        """Return the fields of what the encoder reads."""
        return self.input_type.model_fields

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of what the encoder reads."""
        return self.input_type.model_json_schema()

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the value that the encoder reads; raises `InputError`."""
        return _read_columns(self.slot, self.input_type, raw_input, parameters)

    @cached_property
    def text_columns(self) -> Mapping[str, str]:
        """The slot, if its encoder may cut a value."""
        return {slot: slot for slot, encoder in self.slot_encoders.items() if encoder.can_truncate}

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode the column of the slot."""
        return encode_slots(self.slot_encoders, {self.slot: self.slot}, rows)

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """Return `embedding` [B, D]."""
        return run(MODEL, batch)

    def predict(self, run: Run, batch: Arrays) -> Arrays:
        """Return what `embed` does."""
        return self.embed(run, batch)

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `embedding` [B, D]."""
        return decode_embeddings(arrays)

    def example(self) -> tuple[Wire, Wire]:
        """Return the example of the input, and a short embedding."""
        return self.input_type.make_example(), EmbeddingOutput(embedding=[0.0, 1.5])


class MultiEmbeddingAdapter(EmbeddingAdapter):
    """Adapter of a base model with several backbones.

    Each row is read by the backbone that accepts it: the one whose fields were sent, or else the first that can read
    the body.
    """

    def __init__(self, encoders: Mapping[str, Encoder[Any]]) -> None:
        """Use `embedding_adapter`."""
        super().__init__(encoders)
        self.input_types = {slot: INPUT_OF[encoder.name] for slot, encoder in encoders.items()}

    def input_fields(self) -> Collection[str]:
        """Return the fields of all slots."""
        return {name: None for input_type in self.input_types.values() for name in input_type.model_fields}.keys()

    def input_schema(self) -> dict[str, Any]:
        """Return a JSON schema that accepts the input of any slot."""
        return {"anyOf": [input_type.model_json_schema() for input_type in self.input_types.values()]}

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the slot that reads the input, and its value.

        Raises the `InputError` of the first slot if none can read it.
        """
        first_error: InputError | None = None
        for slot in self._likely_slots(raw_input):
            try:
                columns = _read_columns(slot, self.input_types[slot], raw_input, parameters)
                return {_SLOT_VALUE: (slot, columns.pop(slot)), **columns}
            except InputError as error:
                first_error = first_error or error
        assert first_error is not None, "there are slots"
        raise first_error

    def _likely_slots(self, raw_input: Any) -> Iterable[str]:
        if not isinstance(raw_input, Mapping):
            return self.input_types
        fields = {slot: input_type.model_fields.keys() for slot, input_type in self.input_types.items()}
        return [slot for slot, names in fields.items() if not names.isdisjoint(raw_input)] or self.input_types

    def needs_split(self, row: Row) -> bool:
        """Return whether a text is to be read in windows, or is very long."""
        slot, value = row[_SLOT_VALUE]
        return LONG_TEXTS in row or self.slot_encoders[slot].is_very_long(value)

    def split(self, row: Row) -> list[Row]:
        """Return a row for each window of a text, else the row itself."""
        slot, value = row[_SLOT_VALUE]
        windows = self.slot_encoders[slot].split(value, has_windows=LONG_TEXTS in row)
        return [{_SLOT_VALUE: (slot, window)} for window in windows]

    def truncation(self, rows: Rows, columns: Mapping[str, Column]) -> dict[int, Output]:
        """Return how much of each text was read, if not all."""
        pairs = zip(rows.columns[_SLOT_VALUE], columns[_SLOT_VALUE], strict=True)
        fields = [self.slot_encoders[slot].truncation(value, encoded) for (slot, value), (_, encoded) in pairs]
        return {row: own_fields for row, own_fields in enumerate(fields) if own_fields}

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode each row with the encoder of its slot."""
        signals = [(slot, self.slot_encoders[slot].encode([value])[0]) for slot, value in rows.columns[_SLOT_VALUE]]
        return {_SLOT_VALUE: signals}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return the signal of each slot that reads a row, and its rows.

        The rows are indices, int64 [n], as `{slot}_rows`.
        """
        signals = columns[_SLOT_VALUE]
        batch: Arrays = {}
        for slot, encoder in self.slot_encoders.items():
            rows = [row for row, (name, _) in enumerate(signals) if name == slot]
            if rows:
                arrays = collate_slots({slot: encoder}, {slot: _column([signals[row][1] for row in rows])})
                batch |= {**arrays, f"{slot}_rows": np.array(rows)}
        return batch

    def embed(self, run: Run, batch: Arrays) -> Arrays:
        """Return `embedding` object [N], one vector per row.

        Its width is that of the backbone that read the row.
        """
        slots = [slot for slot in self.slot_encoders if slot in batch]
        embeddings = np.empty(sum(len(batch[slot]) for slot in slots), dtype=object)
        for slot in slots:
            for row, embedding in zip(batch[f"{slot}_rows"], run(slot, batch)[EMBEDDING], strict=True):
                embeddings[row] = embedding
        return {EMBEDDING: embeddings}


def embedding_adapter(encoders: Mapping[str, Encoder[Any]]) -> EmbeddingAdapter:
    """Return the adapter of a base model, from the encoder of each backbone."""
    return EmbeddingAdapter(encoders) if len(encoders) == 1 else MultiEmbeddingAdapter(encoders)


def decode_embeddings(arrays: Arrays) -> list[Output]:
    """Convert `embedding` [B, D] to outputs; raises `InputError` if the model has none."""
    if EMBEDDING not in arrays:
        message = "this model has no embedding of its input"
        raise InputError(message, field=f"{PARAMETERS}.return", hint="Omit it.")
    return [{EMBEDDING: row.tolist()} for row in arrays[EMBEDDING]]


def embedding_output(encoders: Iterable[str]) -> type[EmbeddingOutput]:
    """Return the output of a base model, from the names of its encoders."""
    has_windows = any(issubclass(INPUT_OF[name], LongTextInput) for name in encoders)
    return TextEmbeddingOutput if has_windows else EmbeddingOutput


def _read_columns(
    slot: str, input_type: type[RawInput], raw_input: Any, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the value that the encoder of a slot reads, and perhaps `long_texts`.

    `long_texts` is present if a text is to be read in windows.
    """
    if issubclass(input_type, LongTextInput):
        return input_type.of(raw_input, parameters=parameters).columns(slot)
    own_parameters = {name: value for name, value in parameters.items() if name != LONG_TEXTS}
    return {slot: input_type.value_of(raw_input, parameters=own_parameters)}


def _column(rows: list[Any]) -> Column:
    """Stack rows that have one shape and more than one axis, as an encoder does."""
    return np.stack(rows) if rows[0].ndim > 1 and len({row.shape for row in rows}) == 1 else rows
