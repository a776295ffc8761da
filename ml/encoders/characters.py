"""Texts as the letters they are written in: what is spelled out, or spoken, letter by letter.

N rows, B batch, T letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, field_validator

from ml.config import Config
from ml.encoders.base import Column, Encoder
from ml.signals import Signal

PADDING: Final = 0
"""Stands behind a text that is shorter than the longest of its batch; for CTC it is the blank."""
UNKNOWN: Final = 1
"""Stands for a letter outside of the alphabet."""
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_FIRST: Final = 2
LEAST_LENGTH: Final = 64
LONGEST: Final = 10_000


class CharactersConfig(Config):
    """The letters known, in the order of their numbers, and how long a text may be."""

    alphabet: str = Field(min_length=1, max_length=65_000)
    length: int = Field(ge=1, le=LONGEST)
    lower_case: bool = False
    """Whether capitals are read as small letters."""

    @field_validator("alphabet")
    @classmethod
    def _each_once(cls, alphabet: str) -> str:
        if len(set(alphabet)) < len(alphabet):
            raise ValueError("names a letter twice")
        return alphabet


class CharactersEncoder(Encoder[str]):
    """Raw value: a text. Composed (NFC), every run of blanks one blank; a letter is a code point."""

    name = "characters"
    signal = Signal.TOKENS
    config_type = CharactersConfig

    def __init__(self, config: CharactersConfig) -> None:
        super().__init__(config)
        self._numbers = {letter: number for number, letter in enumerate(config.alphabet, start=_FIRST)}

    @classmethod
    def learn(cls, values: Sequence[str], asked: Mapping[str, Any]) -> Self:
        """Every letter of the training rows, in the order of Unicode; twice the longest text may be read."""
        texts = [normal(value, lower_case=bool(asked.get("lower_case"))) for value in values]
        longest = max((len(text) for text in texts), default=0)
        # Of no letter at all one has to be made up, or there is no alphabet.
        learned = {
            "alphabet": "".join(sorted(set().union(*texts))) or " ",
            "length": min(LONGEST, max(LEAST_LENGTH, 2 * longest)),
        }
        return cls(CharactersConfig.model_validate({**learned, **asked}))

    def encode(self, values: Sequence[str]) -> list[np.ndarray]:
        """int32 [T] each, cut at `length`; 1 where a letter is not of the alphabet. Both are counted as lost."""
        texts = [self.normal(value) for value in values]
        self.lose("cut", sum(len(text) > self.config.length for text in texts))
        numbers = [
            np.array([self._numbers.get(letter, UNKNOWN) for letter in text[: self.config.length]], dtype=np.int32)
            for text in texts
        ]
        self.lose("with letters outside of the alphabet", sum(bool((each == UNKNOWN).any()) for each in numbers))
        return numbers

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: int64 [B, T], 0 where padded; `mask`: bool [B, T]."""
        lengths = np.array([len(numbers) for numbers in column])
        # One column at least: no network reads a sequence of none.
        signal = np.full((len(column), max(1, lengths.max())), PADDING, dtype=np.int64)
        for row, numbers in enumerate(column):
            signal[row, : len(numbers)] = numbers
        return {"signal": signal, "mask": np.arange(signal.shape[1]) < lengths[:, None]}

    def shape(self) -> dict[str, int]:
        """How many numbers there are, with padding and unknown, and how many a text has at most."""
        vocabulary = _FIRST + len(self.config.alphabet)
        return {"vocabulary": vocabulary, "length": self.config.length, "padding": PADDING}

    def normal(self, text: str) -> str:
        """The text as it is read."""
        return normal(text, lower_case=self.config.lower_case)

    def outside(self, text: str) -> dict[str, int]:
        """Letters that are not of the alphabet, each with its first place in the text as it is read, from 1."""
        found: dict[str, int] = {}
        for place, letter in enumerate(self.normal(text), start=1):
            if letter not in self._numbers:
                found.setdefault(letter, place)
        return found

    def text(self, numbers: Sequence[int] | np.ndarray) -> str:
        """What the numbers spell; padding is nothing."""
        alphabet = self.config.alphabet
        return "".join(
            alphabet[number - _FIRST] if number >= _FIRST else REPLACEMENT
            for number in np.asarray(numbers).tolist()
            if number != PADDING
        )


def normal(text: str, *, lower_case: bool) -> str:
    """Composed, with single blanks."""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return plain.lower() if lower_case else plain
