"""A recording and what is said in it: texts that are too long to be said in it, numbers, letters never learned."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.cross_checks.base import CrossCheck
from ml.data.dataset import SPLITS, TRAIN
from ml.data.files import audio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.cross_checks.base import StagedRows
    from ml.data.locations import Locations

AUDIO: Final = "audio"
TEXT: Final = "text"
FRAMES_A_SECOND: Final = 50
"""Of the usual recogniser: it can say one letter in each. Nobody speaks half as fast."""
_DIGITS: Final = re.compile(r"\d+")


class SpeechCheck(CrossCheck):
    """For a recogniser and for a voice alike."""

    name = "speech"
    columns: ClassVar[Mapping[str, str]] = {AUDIO: "audio", TEXT: "text"}

    def check(self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, places: Locations) -> None:
        """Whether each text fits into its recording, and is written as it is said."""
        for row in rows.tolist():
            at = replace(places.at(row), column=TEXT)
            text = " ".join(values[TEXT][row].split())
            if digits := _DIGITS.search(text):
                self.issues.add("text_with_digits", at=at, actual=digits[0], expected="the number in words")
            seconds = audio.read_seconds(values[AUDIO][row])
            # Between two equal letters, a recogniser must say nothing for a moment.
            needed = len(text) + sum(one == other for one, other in itertools.pairwise(text))
            if seconds is not None and needed > (most := int(seconds * FRAMES_A_SECOND)):
                found = f"{len(text):,} letters in {seconds:.2f} s"
                expected = f"at most {most:,}; usual are 10 to 20 a second"
                self.issues.add("text_longer_than_recording", at=at, actual=found, expected=expected)

    def finish(self, staged: StagedRows, splits: np.ndarray, called: Mapping[str, str | int]) -> None:
        """Letters that no training row has, so that nothing learned can read or write them."""
        texts = [value.decode() for value in staged.values_of(TEXT)]
        known = set().union(*(texts[row] for row in np.flatnonzero(splits == TRAIN)))
        outside = {
            row: "".join(sorted(set(texts[row]) - known))
            for row in np.flatnonzero(splits > TRAIN).tolist()
            if not known.issuperset(texts[row])
        }

        def say(row: int) -> tuple[str, str]:
            return f"{' '.join(outside[row])} in {SPLITS[splits[row]]}", "letters that the training rows have, too"

        self.report("letters_not_in_training", list(outside), staged, say, column=TEXT)
