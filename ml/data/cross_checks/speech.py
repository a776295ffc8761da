"""Checks audio clips against their texts: too many characters, digits, characters missing in training."""

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
#: Output frames of the default speech recognizer, one character in each; nobody speaks half as fast.
FRAMES_PER_SECOND: Final = 50
#: Maximum number of different texts, each of several clips, that are commands rather than speech.
MAX_COMMANDS: Final = 100
#: Mean number of clips of a text from which on it is a command.
MIN_COMMAND_ROWS: Final = 10
_DIGITS: Final = re.compile(r"\d+")


class SpeechCheck(CrossCheck):
    """Checks data for speech recognition and for speech synthesis."""

    name = "speech"
    columns: ClassVar[Mapping[str, str]] = {AUDIO: "audio", TEXT: "text"}

    def check(self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, locations: Locations) -> None:
        """Report texts that contain digits, and texts too long for their audio clip."""
        for row in rows.tolist():
            at = replace(locations.at(row), column=TEXT)
            text = " ".join(values[TEXT][row].split())
            if digits := _DIGITS.search(text):
                self.issues.add("text_with_digits", at=at, actual=digits[0], expected="the number in words")
            seconds = audio.read_seconds(values[AUDIO][row])
            # CTC needs a blank frame between two equal characters.
            min_frames = len(text) + sum(left == right for left, right in itertools.pairwise(text))
            if seconds is not None and min_frames > (frames := int(seconds * FRAMES_PER_SECOND)):
                actual = f"{len(text):,} characters in {seconds:.2f} s"
                expected = f"at most {frames:,}; usual are 10 to 20 per second"
                self.issues.add("text_longer_than_audio", at=at, actual=actual, expected=expected)

    def finish(self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]) -> None:
        """Report texts that are commands, and characters that no training row contains."""
        texts = [value.decode() for value in staged.values_of(TEXT)]
        distinct = set(texts)
        if len(distinct) <= MAX_COMMANDS and len(texts) >= MIN_COMMAND_ROWS * len(distinct):
            expected = "class folders or a label column, for audio_classification"
            self.issues.add("few_texts", actual=f"{len(distinct)} texts of {len(texts):,} clips", expected=expected)
        alphabet = set().union(*(texts[row] for row in np.flatnonzero(splits == TRAIN)))
        unknown = {
            row: "".join(sorted(set(texts[row]) - alphabet))
            for row in np.flatnonzero(splits > TRAIN).tolist()
            if not alphabet.issuperset(texts[row])
        }

        def describe(row: int) -> tuple[str, str]:
            return f"{' '.join(unknown[row])} in {SPLITS[splits[row]]}", "characters that training rows contain"

        self.report("characters_not_in_training", list(unknown), staged, describe, column=TEXT)
