"""What somebody has had, in order, becomes codes: 0 is padding, 1 begins every history, items follow by popularity.

N rows, B batch, T items, V codes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.encoders.base import Column, Encoder
from ml.errors import DataError
from ml.signals import Signal

if TYPE_CHECKING:
    from pathlib import Path

PADDING: Final = 0
START: Final = 1
"""Stands before every history, so that an empty one can be read too: a new user gets what most begin with."""
FIRST_ITEM: Final = 2
ITEMS: Final = "items.json"
LONGEST_WINDOW: Final = 200
"""Where nothing is asked, at most so many of the latest items are read: older ones hardly change what comes next."""
MOST_ITEMS: Final = 200_000
"""Logits for all of them are made for every row that is answered."""


class ItemsConfig(Config):
    """What is read of a history."""

    length: int = Field(ge=3, le=4096)
    """Places that are read: the mark, the latest items before the one that is asked for, and in training that one."""
    least_count: int = Field(1, ge=1)
    """Items that training histories hold less often than this are unknown."""


class ItemsEncoder(Encoder[Sequence[str]]):
    """Raw value: items by id, the latest last. Items that training did not see are left out."""

    name = "items"
    signal = Signal.TOKENS
    config_type = ItemsConfig

    def __init__(self, config: ItemsConfig, items: Sequence[str] = ()) -> None:
        super().__init__(config)
        self.items = tuple(items)
        """In the order of their codes."""
        self._codes = {item: code for code, item in enumerate(self.items, start=FIRST_ITEM)}

    @classmethod
    def learn(cls, values: Sequence[Sequence[str]], asked: Mapping[str, Any]) -> Self:
        """Every item of the training histories, the most frequent first."""
        longest = max((len(value) for value in values), default=0)
        config = ItemsConfig.model_validate({"length": max(3, min(LONGEST_WINDOW, longest + 1)), **asked})
        counts = Counter(item for value in values for item in value)
        known = [item for item, count in counts.items() if count >= config.least_count]
        if not known:
            raise DataError("the histories hold no item to learn from", hint="Lower least_count, or bring more rows.")
        if len(known) > MOST_ITEMS:
            hint = f"Set encoders.history.least_count above {config.least_count}: rare items cannot be learned."
            raise DataError(f"the histories hold {len(known):,} items; the most is {MOST_ITEMS:,}", hint=hint)
        # Of equally frequent ones in an order that does not depend on that of the rows: 2 before 10.
        return cls(config, sorted(known, key=lambda item: (-counts[item], len(item), item)))

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """int64 [T] for each row: known items by code, all of them; what is too old is cut off in `collate`."""
        codes = self._codes
        rows = [np.array([codes[item] for item in value if item in codes], dtype=np.int64) for value in values]
        known = [len(row) == len(value) for row, value in zip(rows, values, strict=True)]
        self.lose("without items that training did not see", known.count(False))
        return rows

    def code(self, item: str) -> int | None:
        """None for an item that training did not see."""
        return self._codes.get(item)

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: int64 [B, T], the mark and then the latest items, padded behind; `mask`: bool [B, T]."""
        latest = [row[len(row) - min(len(row), self.config.length - 1) :] for row in column]
        width = 1 + max((len(row) for row in latest), default=0)
        signal = np.full((len(latest), width), PADDING, dtype=np.int64)
        signal[:, 0] = START
        for row, codes in enumerate(latest):
            signal[row, 1 : 1 + len(codes)] = codes
        return {"signal": signal, "mask": signal != PADDING}

    def shape(self) -> dict[str, int]:
        """`vocabulary`: V; `length`: the largest T."""
        return {"vocabulary": FIRST_ITEM + len(self.items), "length": self.config.length}

    def save(self, directory: Path) -> None:
        """Beside the config the items, in a file of their own: there may be very many."""
        super().save(directory)
        (directory / ITEMS).write_text(json.dumps(self.items, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def restore(cls, config: ItemsConfig, directory: Path) -> Self:
        """With the items that lie beside the config."""
        items = json.loads((directory / ITEMS).read_bytes())
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{ITEMS} is no list of names")
        return cls(config, items)
