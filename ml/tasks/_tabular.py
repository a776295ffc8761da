"""Base class of the tasks that read records, the measurements of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.encoders.record import RecordEncoder, detected_kinds
from ml.metrics.gradient_boosting import Table
from ml.signals import Feature, Signal, Slot
from ml.tasks.base import MODEL, Task
from ml.wire import RecordInput
from ml.wire.record import read_record, record_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ml.data.cell_values import ColumnKind
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row
    from ml.encoders.base import Column
    from ml.wire import Wire

SLOT: Final = "features"


class TabularTask(Task):
    """Reads a record; its fields are the columns of the training data."""

    slots: ClassVar[Mapping[str, Slot]] = {
        SLOT: Slot(
            reads=frozenset({Signal.RECORD}), needs=frozenset({Feature.POOLED}), default_architecture="tabular_mlp"
        )
    }
    encoded_columns: ClassVar[Mapping[str, str]] = {SLOT: SLOT}
    encoders: ClassVar[Mapping[str, str]] = {SLOT: "record"}
    input_type = RecordInput
    #: Column of the target.
    target: ClassVar[str]
    graphs: ClassVar[Mapping[str, tuple[str, ...]]] = {MODEL: (SLOT,)}

    @property
    def record_encoder(self) -> RecordEncoder:
        """The encoder, which has the columns."""
        encoder: Any = self.slot_encoders[SLOT]
        return encoder  # type: ignore[no-any-return]  # the registry knows encoders by name alone

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """Columns that are read, with their kinds."""
        return self.record_encoder.kinds

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Return the kinds of columns that the import detected."""
        kinds = detected_kinds(summary)
        return {SLOT: {"detected_kinds": kinds}} if kinds else {}

    def input_fields(self) -> Collection[str]:
        """Return the columns that are read."""
        return self.kinds

    @property
    def ignored_fields(self) -> Collection[str]:
        """Columns of the training data that are not read."""
        return self.record_encoder.omitted

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a record with these columns."""
        return record_schema(self.kinds, self.record_encoder.omitted)

    def example_input(self) -> Wire:
        """Return a record of means and of the most frequent categories."""
        return RecordInput.model_validate(self.record_encoder.example())

    def read(self, raw_input: Any, *, parameters: Mapping[str, Any]) -> Row:
        """Return the values by column, without columns that are not read.

        Raises `InputError` for unknown fields.
        """
        return {SLOT: read_record(raw_input, self.kinds, parameters=parameters, omitted=self.ignored_fields)}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[RecordInput, Any]:
        """Return the record, and the target."""
        return RecordInput.model_validate(row[SLOT]), row.get(cls.target)

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Hide a few values.

        Then a missing value or an unknown category is nothing new to the network.
        """
        encoded = np.asarray(columns[SLOT])
        shape = self.record_encoder.shape()
        size = (len(encoded), shape["numbers"] + shape["categorical"])
        is_hidden = generator.random(size) < self.config.hidden_fraction
        return {**columns, SLOT: self.record_encoder.hide(encoded, is_hidden)}

    def describe_features(self) -> dict[str, list[str]]:
        """Return the columns that are read, and those of the dataset that are omitted."""
        config = self.record_encoder.config
        kinds = {**config.detected_kinds, **config.kinds}
        return {"read": list(self.kinds), "omitted": [name for name in kinds if name not in self.kinds]}

    def to_table(self, columns: Mapping[str, Column]) -> Table:
        """Return the features of encoded rows for gradient boosting."""
        return Table(*self.record_encoder.to_table(np.asarray(columns[SLOT])))
