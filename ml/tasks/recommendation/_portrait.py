"""Readable portraits of users, from the columns of the items in their histories."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydantic import Field

from ml.data.item_table import ItemColumn, is_blank, to_number
from ml.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.data.item_table import ItemTable

#: Traits of a column that a portrait lists.
MAX_TRAITS: Final = 5
#: Words of an item that are stored, the rarest first.
MAX_WORDS: Final = 12
#: Fraction of the items above which a word says nothing.
MAX_WORD_FRACTION: Final = 0.2
MIN_WORD_ITEMS: Final = 2
_WORD: Final = re.compile(r"[^\W\d_]{3,}")


class Trait(Wire):
    """A category or a word, and how many items of the history have it."""

    name: str
    fraction: float = Field(description="Fraction of the described items of the history that have it")


class NumberRange(Wire):
    """Numbers of the items of a history, such as their prices."""

    low: float = Field(description="A tenth of the items is below")
    median: float
    high: float = Field(description="A tenth of the items is above")


class Portrait(Wire):
    """Categories, words and numbers of the items in a history."""

    items: int = Field(description="Items of the history that the table of items, or the request, describes")
    categories: dict[str, list[Trait]] = Field(description="Column -> its most frequent categories")
    words: list[Trait] = Field(description="Words of the texts that are more frequent here than in other items")
    numbers: dict[str, NumberRange] = Field(description="Column -> range of its numbers")


@dataclass(frozen=True, slots=True)
class ItemTraits:
    """Categories by column, words, and numbers by column of one item."""

    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Sequence[str] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Mapping[str, ItemColumn], fields: Mapping[str, str]) -> Self:
        """Read the traits of an item from its cells."""
        categories: dict[str, Sequence[str]] = {}
        numbers: dict[str, float] = {}
        words: dict[str, None] = {}
        for name, cell in fields.items():
            column = columns.get(name, ItemColumn(kind="text"))
            if is_blank(cell):
                continue
            if column.kind == "categories":
                categories[name] = column.categories(cell)
            elif column.kind == "text":
                words |= dict.fromkeys(_WORD.findall(cell.lower()))
            elif (number := to_number(cell)) is not None:
                numbers[name] = number
        return cls(categories, list(words), numbers)


class TraitTable:
    """Traits of all known items, in the form that is stored with a model."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state

    @classmethod
    def learn(cls, table: ItemTable) -> dict[str, Any]:
        """Return the traits of the items of a table, as JSON."""
        traits = [ItemTraits.of(table.columns, table.fields(row)) for row in range(len(table))]
        counts = Counter(word for item in traits for word in item.words)
        most = max(MIN_WORD_ITEMS, int(MAX_WORD_FRACTION * len(table)))
        telling = {word: count for word, count in counts.items() if MIN_WORD_ITEMS <= count <= most}
        names: dict[str, int] = {}
        words = [sorted((word for word in item.words if word in telling), key=counts.__getitem__) for item in traits]
        return {
            "items": {item: row for row, item in enumerate(table.ids)},
            "categories": [
                {
                    column: [names.setdefault(name, len(names)) for name in of_column]
                    for column, of_column in own.items()
                }
                for own in (item.categories for item in traits)
            ],
            "words": [[names.setdefault(word, len(names)) for word in of_item[:MAX_WORDS]] for of_item in words],
            "numbers": [dict(item.numbers) for item in traits],
            "names": list(names),
            "word_counts": {str(names[word]): count for word, count in telling.items() if word in names},
        }

    def traits_of(self, item: str) -> ItemTraits | None:
        """Return the traits of an item; None if the table of items lacks it."""
        row = self._state["items"].get(item)
        if row is None:
            return None
        names = self._state["names"]
        return ItemTraits(
            {column: [names[code] for code in codes] for column, codes in self._state["categories"][row].items()},
            [names[code] for code in self._state["words"][row]],
            self._state["numbers"][row],
        )

    def draw(self, items: Iterable[ItemTraits]) -> Portrait:
        """Return the portrait of a user with these items."""
        traits = list(items)
        categories: dict[str, Counter[str]] = {}
        numbers: dict[str, list[float]] = {}
        for item in traits:
            for column, names in item.categories.items():
                categories.setdefault(column, Counter()).update(names)
            for column, number in item.numbers.items():
                numbers.setdefault(column, []).append(number)
        words = Counter(word for item in traits for word in item.words)
        return Portrait(
            items=len(traits),
            categories={column: _to_traits(counts.items(), len(traits)) for column, counts in categories.items()},
            words=_to_traits(self._rank_words(words), len(traits)),
            numbers={column: _to_range(values) for column, values in numbers.items()},
        )

    def _rank_words(self, counts: Counter[str]) -> list[tuple[str, int]]:
        """Return the words of at least two items, frequent here and rare elsewhere first."""
        total = len(self._state["items"])

        def weight(word: str) -> float:
            return counts[word] * math.log(1 + total / self._word_counts.get(word, MIN_WORD_ITEMS))

        ranked = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-weight(word), word))
        return [(word, counts[word]) for word in ranked[:MAX_TRAITS]]

    @cached_property
    def _word_counts(self) -> Mapping[str, int]:
        names = self._state["names"]
        return {names[int(code)]: count for code, count in self._state["word_counts"].items()}


def _to_traits(counts: Iterable[tuple[str, int]], items: int) -> list[Trait]:
    ranked = sorted(counts, key=lambda pair: -pair[1])[:MAX_TRAITS]
    return [Trait(name=name, fraction=count / items) for name, count in ranked]


def _to_range(values: Sequence[float]) -> NumberRange:
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9)).tolist()
    return NumberRange(low=low, median=median, high=high)
