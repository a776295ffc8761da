"""Typing errors: characters swapped, left out or doubled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np

#: Shorter words are hardly mistyped, and become other words.
MIN_CHARACTERS = 4


class Typos(Corruption):
    """One error in each of some words."""

    name = "typos"
    summary = "Typing errors; fraction of words"
    column_type = "text"
    amounts = (0.1, 0.3, 0.6)

    def corrupt(self, value: str, amount: float, rng: np.random.Generator) -> str:
        """Mistype words at random."""
        return re.sub(r"\S+", lambda match: _mistype(match[0], rng) if rng.random() < amount else match[0], value)


def _mistype(word: str, rng: np.random.Generator) -> str:
    if len(word) < MIN_CHARACTERS:
        return word
    at = int(rng.integers(1, len(word) - 1))
    match int(rng.integers(3)):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case _:
            return word[:at] + word[at] + word[at:]
