"""Word order: neighboring words change places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class WordSwaps(Corruption):
    """Swaps of neighboring words."""

    name = "word_swaps"
    summary = "Swapped neighboring words; swaps as a fraction of words"
    column_type = "text"
    amounts = (0.1, 0.25, 0.5)

    def corrupt(self, value: str, amount: float, rng: np.random.Generator) -> str:
        """Swap words at random; spaces become single ones."""
        words = value.split()
        for _ in range(round(amount * len(words))):
            if len(words) > 1:
                at = int(rng.integers(len(words) - 1))
                words[at : at + 2] = words[at + 1], words[at]
        return " ".join(words) if words else value
