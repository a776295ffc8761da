"""Character encoder: texts as sequences of characters, for speech.

N rows, B batch, T characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, field_validator

from ml.config import Config
from ml.encoders.base import Column, Encoder
from ml.preprocessing.long_texts import truncation_fields
from ml.signals import Signal

#: Pads a text to the length of the longest of its batch; for CTC it is the blank.
PADDING: Final = 0
#: Code of a character outside of the alphabet.
UNKNOWN: Final = 1
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_FIRST: Final = 2
MIN_LENGTH: Final = 64
MAX_LENGTH: Final = 10_000


class CharactersConfig(Config):
    """The alphabet, in the order of its codes, and the maximum length of a text."""

    alphabet: str = Field(min_length=1, max_length=65_000)
    length: int = Field(ge=1, le=MAX_LENGTH)
    lower_case: bool = Field(False, description="Convert texts to lower case.")

    @field_validator("alphabet")
    @classmethod
    def _has_no_duplicates(cls, alphabet: str) -> str:
        if len(set(alphabet)) < len(alphabet):
            raise ValueError("contains a character twice; list each character once")
        return alphabet


class CharactersEncoder(Encoder[str]):
    """Encodes texts by code point, after NFC normalization with single spaces."""

    name = "characters"
    signal = Signal.TOKENS
    config_type = CharactersConfig
    can_truncate = True

    def __init__(self, config: CharactersConfig) -> None:
        super().__init__(config)
        self._codes = {character: code for code, character in enumerate(config.alphabet, start=_FIRST)}

    @classmethod
    def learn(cls, values: Sequence[str], options: Mapping[str, Any]) -> Self:
        """Take all characters of the training rows, and twice the longest text as the length."""
        texts = [normalize(value, lower_case=bool(options.get("lower_case"))) for value in values]
        longest = max((len(text) for text in texts), default=0)
        # The alphabet must not be empty, even without a single character in the data.
        learned = {
            "alphabet": "".join(sorted(set().union(*texts))) or " ",
            "length": min(MAX_LENGTH, max(MIN_LENGTH, 2 * longest)),
        }
        return cls(CharactersConfig.model_validate({**learned, **options}))

    def encode(self, values: Sequence[str]) -> list[np.ndarray]:
        """Encode each text to int32 [T], cut at `length`, with 1 for unknown characters.

        Both are counted as losses.
        """
        texts = [self.normalize(value) for value in values]
        self.count_loss("cut", sum(len(text) > self.config.length for text in texts))
        rows = [
            np.array([self._codes.get(character, UNKNOWN) for character in text[: self.config.length]], dtype=np.int32)
            for text in texts
        ]
        self.count_loss("with characters outside of the alphabet", sum(bool((row == UNKNOWN).any()) for row in rows))
        return rows

    def truncation(self, value: str, encoded: np.ndarray) -> dict[str, Any]:
        """Return how many characters of a text were read."""
        return {} if len(encoded) < self.config.length else truncation_fields(len(encoded), len(self.normalize(value)))

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: int64 [B, T], 0 where padded; `mask`: bool [B, T]."""
        lengths = np.array([len(codes) for codes in column])
        # At least one position: networks cannot read an empty sequence.
        signal = np.full((len(column), max(1, lengths.max())), PADDING, dtype=np.int64)
        for row, codes in enumerate(column):
            signal[row, : len(codes)] = codes
        return {"signal": signal, "mask": np.arange(signal.shape[1]) < lengths[:, None]}

    def shape(self) -> dict[str, int]:
        """Return the vocabulary with padding and unknown, the maximum length, and the padding code."""
        vocabulary = _FIRST + len(self.config.alphabet)
        return {"vocabulary": vocabulary, "length": self.config.length, "padding": PADDING}

    def normalize(self, text: str) -> str:
        """Normalize a text as `encode` does."""
        return normalize(text, lower_case=self.config.lower_case)

    def unknown_characters(self, text: str) -> dict[str, int]:
        """Return the characters outside of the alphabet, with the first position of each.

        Positions count from 1 in the normalized text.
        """
        positions: dict[str, int] = {}
        for position, character in enumerate(self.normalize(text), start=1):
            if character not in self._codes:
                positions.setdefault(character, position)
        return positions

    def decode(self, codes: Sequence[int] | np.ndarray) -> str:
        """Return the text of character codes; padding is skipped."""
        alphabet = self.config.alphabet
        return "".join(
            alphabet[code - _FIRST] if code >= _FIRST else REPLACEMENT
            for code in np.asarray(codes).tolist()
            if code != PADDING
        )


def normalize(text: str, *, lower_case: bool) -> str:
    """Apply NFC normalization and single spaces; lower case if `lower_case`."""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return plain.lower() if lower_case else plain
