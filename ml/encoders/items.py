"""Item encoder: histories of items as codes.

0 is padding, 1 begins every history, items follow by falling popularity.

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
#: Begins every history, so that an empty one can be read: a new user gets the items that most histories begin with.
START: Final = 1
FIRST_ITEM: Final = 2
ITEMS: Final = "items.json"
#: Default limit of the latest items that are read; older ones hardly change the recommendation.
MAX_DEFAULT_LENGTH: Final = 200
#: Limit of the vocabulary: each prediction computes logits for all items.
MAX_ITEMS: Final = 200_000


class ItemsConfig(Config):
    """Number of items that are read, and how rare an item may be."""

    length: int = Field(
        ge=3, le=4096, description="Positions that are read: the start, the latest items, and in training the target."
    )
    least_count: int = Field(1, ge=1, description="Items that occur less often in training histories are unknown.")


class CatalogHistories(Sequence[Sequence[str]]):
    """Histories, and further items that none of them has but that can be recommended."""

    def __init__(self, histories: Sequence[Sequence[str]], further_items: Sequence[str]) -> None:
        self.histories = histories
        self.further_items = further_items

    def __len__(self) -> int:
        return len(self.histories)

    def __getitem__(self, index: Any) -> Any:  # int -> one history
        return self.histories[index]


class ItemsEncoder(Encoder[Sequence[str]]):
    """Encodes item ids, oldest first; items that are not in the vocabulary are left out."""

    name = "items"
    signal = Signal.TOKENS
    config_type = ItemsConfig

    def __init__(self, config: ItemsConfig, items: Sequence[str] = ()) -> None:
        super().__init__(config)
        #: Items in the order of their codes.
        self.items = tuple(items)
        self._codes = {item: code for code, item in enumerate(self.items, start=FIRST_ITEM)}

    @classmethod
    def learn(cls, values: Sequence[Sequence[str]], options: Mapping[str, Any]) -> Self:
        """Take all items of the training histories, by falling frequency, and then further ones."""
        longest = max((len(value) for value in values), default=0)
        config = ItemsConfig.model_validate({"length": max(3, min(MAX_DEFAULT_LENGTH, longest + 1)), **options})
        counts = Counter(item for value in values for item in value)
        items = [item for item, count in counts.items() if count >= config.least_count]
        if not items:
            raise DataError("the histories contain no item to learn from", hint="Lower least_count, or add rows.")
        further_items = values.further_items if isinstance(values, CatalogHistories) else ()
        if len(items) + len(further_items) > MAX_ITEMS:
            hint = f"Set encoders.history.least_count above {config.least_count}: rare items cannot be learned."
            count = len(items) + len(further_items)
            raise DataError(f"the data contain {count:,} items (limit {MAX_ITEMS:,})", hint=hint)
        # Items of equal frequency in an order that does not depend on that of the rows: 2 before 10.
        ordered = sorted(items, key=lambda item: (-counts[item], len(item), item))
        return cls(config, [*ordered, *sorted(further_items, key=lambda item: (len(item), item))])

    def encode(self, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Encode each history to int64 [T] with all its known items; `collate` drops the oldest."""
        codes = self._codes
        rows = [np.array([codes[item] for item in value if item in codes], dtype=np.int64) for value in values]
        is_whole = [len(row) == len(value) for row, value in zip(rows, values, strict=True)]
        self.count_loss("without items that are not in the training data", is_whole.count(False))
        return rows

    def code(self, item: str) -> int | None:
        """Return the code of an item; None if it is not in the vocabulary."""
        return self._codes.get(item)

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """Collate to `signal` int64 [B, T] and `mask` bool [B, T].

        A row has the start and the latest items, padded at the end.
        """
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
        """Write the items to a file of their own beside the config."""
        super().save(directory)
        (directory / ITEMS).write_text(json.dumps(self.items, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def restore(cls, config: ItemsConfig, directory: Path) -> Self:
        """Load the items beside the config."""
        items = json.loads((directory / ITEMS).read_bytes())
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{ITEMS} is not a list of ids")
        return cls(config, items)
