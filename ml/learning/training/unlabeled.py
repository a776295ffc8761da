"""Conversion of rows without targets to batches, for objectives that need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.encoders.base import encode_slots
from ml.preprocessing.sequence_packing import texts_to_windows
from ml.tasks.base import BatchAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ml.data.rows import Rows
    from ml.encoders.base import Column, Encoder


class Unlabeled(BatchAdapter):
    """Adapter of rows without targets: each slot reads the canonical column of its name.

    With `packs`, texts are joined and cut into windows, so that a row may hold parts of several texts.
    """

    def __init__(self, encoders: Mapping[str, Encoder[Any]], *, packs: bool = False) -> None:
        self.slot_encoders = encoders
        self.packs = packs

    @property
    def encodes_rows_alone(self) -> bool:
        """False if windows hold parts of several texts."""
        return not self.packs

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode rows to compact arrays by slot."""
        if self.packs:
            return {
                slot: texts_to_windows(encoder, rows.columns[slot], scratch=self.scratch)
                for slot, encoder in self.slot_encoders.items()
            }
        return encode_slots(self.slot_encoders, {slot: slot for slot in self.slot_encoders}, rows)
