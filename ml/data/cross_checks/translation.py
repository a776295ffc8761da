"""Checks pairs of texts: swapped sides, untranslated rows, lengths that do not fit.

It uses no knowledge of languages but the rows themselves and the commonest words of a few (`ml.data.languages`).
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
#: Shorter copies are names, numbers or OK, which are the same in all languages.
MIN_COPIED_LETTERS: Final = 12
#: Rows needed to know what is usual in a dataset.
MIN_ROWS: Final = 20
#: A ratio of lengths means nothing if the longer side has fewer characters.
MIN_LONGER_CHARACTERS: Final = 30
#: A ratio is an outlier if it differs from the median by more than a factor of 3 ...
MIN_LOG_RATIO: Final = math.log(3)
#: ... and by more than this many median absolute deviations, since summaries vary in length.
MIN_DEVIATIONS: Final = 6
#: Rows whose words are counted and compared; swapped sides are not detected beyond them.
MAX_COMPARED_ROWS: Final = 200_000
#: Log-odds, in nats, by which both sides must fit the other column better: e^4 is 55 to 1.
MIN_LOG_ODDS: Final = 4.0


class TranslationCheck(CrossCheck):
    """Checks translations, summaries and corrections of texts.

    Summaries and corrections have fewer outliers than translations.
    """

    name = "translation"
    columns: ClassVar[Mapping[str, str]] = {SOURCE: "text", TARGET: "text"}

    def __init__(self, *, issues: IssueLog) -> None:
        super().__init__(issues=issues)
        self._lengths = {SOURCE: array("i"), TARGET: array("i")}
        self._copies: list[int] = []
        self._words: dict[str, Counter[str]] = {SOURCE: Counter(), TARGET: Counter()}

    def check(self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, locations: Locations) -> None:
        """Collect lengths and words of both sides, and rows whose sides are equal."""
        for row in rows.tolist():
            staged_row = len(self._lengths[SOURCE])
            source, target = values[SOURCE][row].strip(), values[TARGET][row].strip()
            self._lengths[SOURCE].append(len(source))
            self._lengths[TARGET].append(len(target))
            if source.casefold() == target.casefold() and sum(map(str.isalpha, source)) >= MIN_COPIED_LETTERS:
                self._copies.append(staged_row)
            if staged_row < MAX_COMPARED_ROWS:
                self._words[SOURCE].update(split_words(source))
                self._words[TARGET].update(split_words(target))

    def finish(self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]) -> None:
        """Report copies, outliers of length, and swapped sides of single rows or of all."""
        self._report_copies(staged)
        self._report_lengths(staged)
        self._report_languages(column_names)
        self._report_swapped(staged)

    def _report_copies(self, staged: StagedRows) -> None:
        texts = _read_texts(staged, SOURCE, self._copies[: self.issues.max_samples])
        expected = "its translation"
        self.report("text_untranslated", self._copies, staged, lambda row: (texts[row], expected), column=TARGET)

    def _report_lengths(self, staged: StagedRows) -> None:
        source, target = (np.frombuffer(self._lengths[side], dtype=np.int32) for side in (SOURCE, TARGET))
        if len(source) < MIN_ROWS:
            return
        # With some characters more on both sides: 2 against 6 is no outlier, 100 against 300 is one.
        ratios = np.log((target + 5) / (source + 5))
        median = np.median(ratios)
        distance = np.abs(ratios - median)
        is_outlier = distance > max(MIN_LOG_RATIO, MIN_DEVIATIONS * float(np.median(distance)))
        rows = np.flatnonzero(is_outlier & (np.maximum(source, target) >= MIN_LONGER_CHARACTERS)).tolist()
        expected = f"about {math.exp(median):.1f} characters for one, as in the other rows"
        self.report(
            "text_lengths_differ",
            rows,
            staged,
            lambda row: (f"{target[row]:,} characters for {source[row]:,}", expected),
            column=TARGET,
        )

    def _report_languages(self, column_names: Mapping[str, str | int]) -> None:
        """Report columns in each other's language, by their names and words."""
        named = {side: parse_language(str(column_names.get(side, ""))) for side in (SOURCE, TARGET)}
        detected = {side: detect_language(words) for side, words in self._words.items()}
        if None in named.values() or named[SOURCE] == named[TARGET]:
            return
        if (named[SOURCE], named[TARGET]) == (detected[TARGET], detected[SOURCE]):
            actual = ", ".join(f"{column_names[side]} contains {detected[side]}" for side in (SOURCE, TARGET))
            self.issues.add("languages_swapped", actual=actual, expected="the other way round")

    def _report_swapped(self, staged: StagedRows) -> None:
        count = min(len(self._lengths[SOURCE]), MAX_COMPARED_ROWS)
        if count < MIN_ROWS:
            return
        model = _SideModel(self._words[SOURCE], self._words[TARGET])
        swapped: list[int] = []
        texts: dict[int, str] = {}
        sides = zip(*(staged.values_of(side) for side in (SOURCE, TARGET)), strict=True)
        for row, (source, target) in enumerate(itertools.islice(sides, count)):
            text = source.decode()
            if model.is_swapped(split_words(text), split_words(target.decode())):
                swapped.append(row)
                if len(texts) < self.issues.max_samples:
                    texts[row] = text
        self.report(
            "sides_swapped",
            swapped,
            staged,
            lambda row: (texts[row], "the language of the other rows in this column"),
            column=SOURCE,
        )


class _SideModel:
    """Naive Bayes model of the side of a word, from its counts on both."""

    def __init__(self, source: Counter[str], target: Counter[str]) -> None:
        self._source, self._target = source, target
        self._balance = math.log(max(1, target.total()) / max(1, source.total()))

    def is_swapped(self, source: Sequence[str], target: Sequence[str]) -> bool:
        """Return whether both sides fit the other column far better.

        The counts of this row itself are left out.
        """
        source_counts, target_counts = Counter(source), Counter(target)
        log_odds = {
            word: math.log(
                (self._source[word] - source_counts[word] + 0.5) / (self._target[word] - target_counts[word] + 0.5)
            )
            + self._balance
            for word in source_counts.keys() | target_counts.keys()
        }
        source_score, target_score = sum(map(log_odds.__getitem__, source)), sum(map(log_odds.__getitem__, target))
        return source_score < -MIN_LOG_ODDS and target_score > MIN_LOG_ODDS


def _read_texts(staged: StagedRows, column: str, rows: Iterable[int]) -> dict[int, str]:
    """Return the texts of a column at `rows`, by row."""
    remaining = set(rows)
    texts: dict[int, str] = {}
    if not remaining:
        return texts
    for row, value in enumerate(staged.values_of(column)):
        if row in remaining:
            texts[row] = value.decode()
            remaining.remove(row)
        if not remaining:
            break
    return texts
