"""Rows without targets, as an objective reads them that needs none. Looks to training like a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ml.data.rows import Rows
    from ml.encoders.base import Column, Encoder
    from ml.tasks.base import Arrays


class Unlabelled:
    """A slot reads the canonical column of its name."""

    def __init__(self, encoders: Mapping[str, Encoder[Any]]) -> None:
        self.slot_encoders = encoders

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Compact arrays by slot."""
        return {slot: encoder.encode(rows.columns[slot]) for slot, encoder in self.slot_encoders.items()}

    def collate(self, columns: dict[str, Column]) -> Arrays:
        """Signals by slot, and their masks."""
        arrays: Arrays = {}
        for slot, column in columns.items():
            signal = self.slot_encoders[slot].collate(column)
            arrays[slot] = signal["signal"]
            if "mask" in signal:
                arrays[f"{slot}_mask"] = signal["mask"]
        return arrays
