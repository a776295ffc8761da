"""Labels that say that a row has none.

These are `-` in SNLI, -1 in GLUE, `?` at UCI, and the names of a missing value in pandas.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: Labels, in lower case, that are no class wherever at least `MIN_CLASSES` others are.
_MARKS: Final = frozenset(
    {
        *("-", "--", "?", "n/a", "#n/a", "<na>", "nan", "nat", "null", "\\n", "no label", "no_label", "nolabel"),
        *("unlabeled", "unlabelled", "not labeled", "not_labeled", "<unlabeled>", "no gold label", "abstain"),
    }
)
#: Names of the missing value that are classes as well: a country, and a stance that is none.
_DOUBTFUL: Final = frozenset({"na", "none", "unknown", "undefined", "unspecified", "not available", "missing"})
#: Numbers that stand for no label beside classes from 0 or 1 on: GLUE, PyTorch's `ignore_index`, SPSS.
_NUMBERS: Final = frozenset({"-1", "-9", "-99", "-100", "-999"})
_INTEGER: Final = re.compile(r"([+-]?\d+)(\.0*)?")
#: With fewer other classes, a mark is a class: + and -.
MIN_CLASSES: Final = 2


def find_no_label_marks(labels: Collection[str], *, learned: Collection[str]) -> list[str]:
    """Return the labels that stand for no label.

    A sign is a class beside another sign: a minus beside a plus, a question mark beside a full stop. -1 is one beside 1
    alone or 0 and 1, where it may be a sentiment, unless it is not among the labels `learned` from. A number is one
    beside a lower one.
    """
    marks = [label for label in labels if label.lower() in _MARKS]
    if any(_is_sign(label) for label in labels if label not in marks):
        marks = [mark for mark in marks if not _is_sign(mark)]
    others = [label for label in labels if label not in marks]
    numbers = [label for label in labels if _to_number(label) in _NUMBERS]
    learned_numbers = [label for label in numbers if label in learned]
    is_class = (_is_symmetric(others) and learned_numbers) or any(_is_below(label, numbers) for label in others)
    if len(numbers) == 1 and not is_class:
        marks += [label for label in others if _to_number(label) in _NUMBERS]
    return marks if len(labels) - len(marks) >= MIN_CLASSES else []


def find_doubtful_classes(labels: Collection[str]) -> list[str]:
    """Return the labels that are read as classes, and may stand for no label."""
    minus_one = [label for label in labels if _to_number(label) == "-1" and len(labels) > MIN_CLASSES]
    return [label for label in labels if label.lower() in _MARKS | _DOUBTFUL or label in minus_one]


def find_joined_labels(labels: Collection[str]) -> list[str]:
    """Return the labels that are several of the others, divided by bars: `Effusion|Mass`."""
    divided = {label: [part.strip() for part in label.split("|")] for label in labels if "|" in label}
    return [label for label, parts in divided.items() if any(part in labels for part in parts) and all(parts)]


def _to_number(label: str) -> str:
    """Return a whole number without a point; other labels are returned unchanged."""
    match = _INTEGER.fullmatch(label)
    return match[1] if match else label


def _is_sign(label: str) -> bool:
    return not any(character.isalnum() for character in label)


def _is_below(label: str, numbers: Sequence[str]) -> bool:
    """Return whether a label is a whole number below one of `numbers`."""
    match = _INTEGER.fullmatch(label)
    return match is not None and any(int(match[1]) < int(_to_number(number)) for number in numbers)


def _is_symmetric(labels: Sequence[str]) -> bool:
    """Return whether every number but 0 has its opposite, as marks of sentiments have."""
    numbers = {_to_number(label).lstrip("+") for label in labels}
    opposites = {number[1:] if number.startswith("-") else f"-{number}" for number in numbers - {"0"}}
    return opposites <= numbers
