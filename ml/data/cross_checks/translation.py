"""Two languages: sides that were swapped, left untranslated, or are far too long for one another.

Nothing is known of languages but what the rows themselves tell, and the commonest words of a few (`languages`).
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.cross_checks.base import CrossCheck
from ml.data.languages import detect_language, parse_language, split_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.data.cross_checks.base import StagedRows
    from ml.data.issues import IssueLog
    from ml.data.locations import Locations

SOURCE: Final = "text"
TARGET: Final = "target"
COPIED_LETTERS: Final = 12
"""Shorter ones are names, numbers, OK, which are the same in any language."""
FEWEST: Final = 20
"""Rows by which can be told what is usual."""
LONG_LETTERS: Final = 30
"""Where the longer side has fewer letters, a ratio says nothing."""
ODD: Final = math.log(3)
"""Three times longer, or shorter, than is usual between these two."""
SPREAD: Final = 6
"""And so many times farther from the middle than half of the rows are: a summary is of any length."""
MOST_JUDGED: Final = 200_000
"""Rows whose words are learned and judged; beyond, sides that were swapped are no longer looked for."""
SURE: Final = 4.0
"""Nats by which each side must speak against its own column: e^4 is 55 to 1."""


class TranslationCheck(CrossCheck):
    """Also of a text and its summary, or a sentence and its correction; there, less is odd."""

    name = "translation"
    columns: ClassVar[Mapping[str, str]] = {SOURCE: "text", TARGET: "text"}

    def __init__(self, *, issues: IssueLog) -> None:
        super().__init__(issues=issues)
        self._letters = {SOURCE: array("i"), TARGET: array("i")}
        self._copies: list[int] = []
        self._words: dict[str, Counter[str]] = {SOURCE: Counter(), TARGET: Counter()}

    def check(self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, places: Locations) -> None:
        """Lengths and words, and whether both sides say the very same."""
        for row in rows.tolist():
            number = len(self._letters[SOURCE])
            source, target = values[SOURCE][row].strip(), values[TARGET][row].strip()
            self._letters[SOURCE].append(len(source))
            self._letters[TARGET].append(len(target))
            if source.casefold() == target.casefold() and sum(map(str.isalpha, source)) >= COPIED_LETTERS:
                self._copies.append(number)
            if number < MOST_JUDGED:
                self._words[SOURCE].update(split_words(source))
                self._words[TARGET].update(split_words(target))

    def finish(self, staged: StagedRows, splits: np.ndarray, called: Mapping[str, str | int]) -> None:
        """Copies, lengths, and sides that were swapped: in some rows, or in all."""
        self._report_copies(staged)
        self._report_lengths(staged)
        self._report_languages(called)
        self._report_swapped(staged)

    def _report_copies(self, staged: StagedRows) -> None:
        texts = _texts(staged, SOURCE, self._copies[: self.issues.max_samples])
        expected = "its translation"
        self.report("text_untranslated", self._copies, staged, lambda row: (texts[row], expected), column=TARGET)

    def _report_lengths(self, staged: StagedRows) -> None:
        source, target = (np.frombuffer(self._letters[side], dtype=np.int32) for side in (SOURCE, TARGET))
        if len(source) < FEWEST:
            return
        # A few letters more on both sides: 2 against 6 is nothing, 100 against 300 is much.
        ratios = np.log((target + 5) / (source + 5))
        usual = np.median(ratios)
        distance = np.abs(ratios - usual)
        odd = distance > max(ODD, SPREAD * float(np.median(distance)))
        rows = np.flatnonzero(odd & (np.maximum(source, target) >= LONG_LETTERS)).tolist()
        expected = f"about {math.exp(usual):.1f} letters for one, as elsewhere"
        self.report(
            "text_lengths_differ",
            rows,
            staged,
            lambda row: (f"{target[row]:,} letters for {source[row]:,}", expected),
            column=TARGET,
        )

    def _report_languages(self, called: Mapping[str, str | int]) -> None:
        """Both sides at once: what is called English is German, and the other way round."""
        named = {side: parse_language(str(called.get(side, ""))) for side in (SOURCE, TARGET)}
        spoken = {side: detect_language(words) for side, words in self._words.items()}
        if None in named.values() or named[SOURCE] == named[TARGET]:
            return
        if (named[SOURCE], named[TARGET]) == (spoken[TARGET], spoken[SOURCE]):
            found = f"{called[SOURCE]} holds {spoken[SOURCE]}, {called[TARGET]} holds {spoken[TARGET]}"
            self.issues.add("languages_swapped", actual=found, expected="the other way round")

    def _report_swapped(self, staged: StagedRows) -> None:
        judged = min(len(self._letters[SOURCE]), MOST_JUDGED)
        if judged < FEWEST:
            return
        lean = _Leaning(self._words[SOURCE], self._words[TARGET])
        swapped: list[int] = []
        texts: dict[int, str] = {}
        sides = zip(*(staged.values_of(side) for side in (SOURCE, TARGET)), strict=True)
        for row, (source, target) in enumerate(itertools.islice(sides, judged)):
            text = source.decode()
            if lean.speak_against(split_words(text), split_words(target.decode())):
                swapped.append(row)
                if len(texts) < self.issues.max_samples:
                    texts[row] = text
        self.report(
            "sides_swapped",
            swapped,
            staged,
            lambda row: (texts[row], "the language that this column has elsewhere"),
            column=SOURCE,
        )


class _Leaning:
    """To which side words lean, by how often they are on each."""

    def __init__(self, source: Counter[str], target: Counter[str]) -> None:
        self._source, self._target = source, target
        self._balance = math.log(max(1, target.total()) / max(1, source.total()))

    def speak_against(self, source: Sequence[str], target: Sequence[str]) -> bool:
        """Whether each side is far likelier in the other's column, this row itself left out of the count."""
        mine, theirs = Counter(source), Counter(target)
        lean = {
            word: math.log((self._source[word] - mine[word] + 0.5) / (self._target[word] - theirs[word] + 0.5))
            + self._balance
            for word in mine.keys() | theirs.keys()
        }
        return sum(map(lean.__getitem__, source)) < -SURE and sum(map(lean.__getitem__, target)) > SURE


def _texts(staged: StagedRows, column: str, rows: Iterable[int]) -> dict[int, str]:
    wanted = set(rows)
    if not wanted:
        return {}
    found = {}
    for row, value in enumerate(staged.values_of(column)):
        if row in wanted:
            found[row] = value.decode()
        if len(found) == len(wanted):
            break
    return found
