"""Letter case: words in capitals or in small letters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml.evaluation.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np


class LetterCase(Corruption):
    """Words in the other case: capitals, or small letters if they had capitals."""

    name = "letter_case"
    summary = "Changed letter case; fraction of words"
    column_type = "text"
    amounts = (0.1, 0.5, 1.0)

    def corrupt(self, value: str, amount: float, rng: np.random.Generator) -> str:
        """Change the case of words at random."""

        def change(match: re.Match[str]) -> str:
            word = match[0]
            if rng.random() >= amount:
                return word
            return word.upper() if word.islower() else word.lower()

        return re.sub(r"\S+", change, value)
