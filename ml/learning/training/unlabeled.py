"""Conversion of rows without targets to batches, for objectives that need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.encoders.base import collate_slots, encode_slots
from ml.preprocessing.sequence_packing import texts_to_windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy as np

    from ml.data.rows import Rows
    from ml.encoders.base import Column, Encoder
    from ml.signals import Arrays


class Unlabeled:
    """Reads the canonical column of each slot.

    It has the methods of a task that training needs. With `packs`, texts are joined and cut into windows, so that a row
    may hold parts of several texts.
    """

    def __init__(self, encoders: Mapping[str, Encoder[Any]], *, packs: bool = False) -> None:
        self.slot_encoders = encoders
        self.packs = packs

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return compact arrays by slot."""
        if self.packs:
            return {slot: texts_to_windows(encoder, rows.columns[slot]) for slot, encoder in self.slot_encoders.items()}
        return encode_slots(self.slot_encoders, {slot: slot for slot in self.slot_encoders}, rows)

    def augment(self, columns: dict[str, Column], generator: np.random.Generator) -> dict[str, Column]:
        """Return the columns unchanged: an objective that needs augmented views makes them itself."""
        return columns

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Return signals by slot, and their masks."""
        return collate_slots(self.slot_encoders, columns)
