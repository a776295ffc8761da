"""Parallel texts: two files in two languages whose lines are translations of each other."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data.files.ignored import is_ignored, is_side_file
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import open_text, read_lines
from ml.data.formats._numbers import hold_numbers
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.formats.text._language_names import FileName, are_pairs
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

SURE: Final = 3.0


class AlignedTexts(Format):
    """File names are equal but for a language, or for `source` and `target`: `train.en`, `train.de`.

    The source side is the one that `columns` names (`{"text": "en"}`), else `source`, else the first by name.
    """

    name = "aligned_texts"
    summary = (
        "Two text files whose lines are translations of each other: train.en and train.de, plain, gzip, bzip2 or xz"
    )
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text"})
    has_columns = True
    refuses_markup = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for files of exactly two sides, some of them paired."""
        if not super().detect(sources, required) or (required is not None and "target" not in required):
            return 0
        if required is None and hold_numbers(sources):
            return 0
        texts = [source for source in sources if source.content in cls.accepted_content]
        return SURE if are_pairs(source.name for source in _select_texts(texts)) else 0

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one pair after another."""
        texts = _select_texts(self.sources)
        for source in self.sources:
            if source not in texts:
                expected = "two files of texts, named alike but for the language"
                self.issues.add("file_ignored", at=Location(file=source.name), expected=expected)
        names = [(FileName.parse(source.name) or FileName(source.name, ""), source) for source in texts]
        sides = self._order_sides([name.side for name, _ in names])
        pairs: dict[str, dict[str, UploadedFile]] = {}
        for name, source in names:
            pairs.setdefault(name.stem, {})[name.side] = source
        self.detected_columns = dict(zip(self.columns, sides, strict=True))
        for stem in sorted(pairs, key=natural_sort_key):
            pair = pairs[stem]
            if set(pair) == set(sides):
                yield from self._read_pair(*(pair[side] for side in sides))
                continue
            for source in pair.values():
                expected = f"one file for each of {' and '.join(sides)}, named alike"
                self.issues.add("text_unpaired", at=Location(file=source.name), expected=expected)

    def _order_sides(self, file_sides: Sequence[str]) -> tuple[str, str]:
        """Return source and target side.

        Raises `DataRejected` for an invalid request, or unless there are exactly two sides.
        """
        sides = list(dict.fromkeys(file_sides))
        requests = {canonical: str(side).lower() for canonical, side in self.requested_columns.items()}
        has_unknown_side = any(side not in sides for side in requests.values())
        has_unknown_column = bool(set(requests) - set(self.columns))
        has_equal_sides = len(set(requests.values())) < len(requests)
        if has_unknown_column or has_unknown_side or len(sides) != 2 or has_equal_sides:
            expected = f'{{"text": ..., "target": ...}} of {", ".join(sides)}'
            raise DataRejected("invalid_columns", actual=", ".join(requests.values()) or None, expected=expected)
        first = next((side for side in sides if side in ("source", "src")), sides[0])
        if "target" in requests:
            first = next(side for side in sides if side != requests["target"])
        first = requests.get("text", first)
        return first, next(side for side in sides if side != first)

    def _read_pair(self, source: UploadedFile, target: UploadedFile) -> Iterator[Batch]:
        line_counts = {source.name: 0, target.name: 0}
        try:
            with (
                open_text(source, self.issues, self.limits) as source_text,
                open_text(target, self.issues, self.limits) as target_text,
            ):
                source_lines, target_lines = read_lines(source_text), read_lines(target_text)
                for start in itertools.count(0, ROWS_PER_BATCH):
                    texts, targets = _take_batch(source_lines), _take_batch(target_lines)
                    line_counts[source.name] += len(texts)
                    line_counts[target.name] += len(targets)
                    row_count = min(len(texts), len(targets))
                    if start + row_count > self.limits.max_rows:
                        raise DataRejected("too_many_rows", expected=f"at most {self.limits.max_rows:,} rows")
                    if row_count:
                        numbers = range(start + 1, start + row_count + 1)
                        columns = {"text": texts[:row_count], "target": targets[:row_count]}
                        yield Batch(columns, Locations(source.name, numbers, numbers), source.split or target.split)
                    if len(texts) < ROWS_PER_BATCH or len(targets) < ROWS_PER_BATCH:
                        break
                line_counts[source.name] += sum(1 for _ in source_lines)
                line_counts[target.name] += sum(1 for _ in target_lines)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return
        if line_counts[source.name] != line_counts[target.name]:
            actual = " and ".join(f"{count:,} in {name}" for name, count in line_counts.items())
            at = Location(file=target.name)
            self.issues.add("line_counts_differ", at=at, actual=actual, expected="equal line counts")


def _select_texts(sources: Sequence[UploadedFile]) -> list[UploadedFile]:
    """Leave out the files beside pairs: notes, and descriptions of the lines of a pair."""
    texts = [source for source in sources if not is_ignored(source.name) and not is_side_file(source.name)]
    stems = Counter(name.stem for source in texts if (name := FileName.parse(source.name)))
    paired = tuple(f"{stem}." for stem, count in stems.items() if stem and count > 1)
    return [source for source in texts if FileName.parse(source.name) or not source.name.startswith(paired)]


def _take_batch(lines: Iterator[str]) -> list[str]:
    return [line.rstrip("\n") for line in itertools.islice(lines, ROWS_PER_BATCH)]
