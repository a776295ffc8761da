"""Two files of equally many lines: line for line, what stands in one is what the other says in another language."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import open_text, read_lines
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

SURE: Final = 3.0
"""What the names of such files say leaves no doubt."""
_PACKED: Final = re.compile(r"\.(gz|bz2|xz)$", re.IGNORECASE)
_PLAIN: Final = re.compile(r"\.(txt|text|tok|raw|lc|bpe)$", re.IGNORECASE)
_SIDE: Final = re.compile(
    r"^(?P<before>.*?)[._-]?(?P<side>(?<![A-Za-z])[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,4})?)$", re.DOTALL
)
_SIDES: Final = ("source", "target", "src", "tgt", "trg")
_NO_LANGUAGE: Final = frozenset(
    [
        "txt",
        "csv",
        "tsv",
        "tab",
        "xml",
        "tmx",
        "dat",
        "log",
        "doc",
        "pdf",
        "md",
        "py",
        "val",
        "dev",
        "tst",
        "trn",
        "raw",
    ]
)


@dataclass(frozen=True, slots=True)
class _Name:
    """`train.en.gz` is `train` and `en`."""

    stem: str
    side: str

    @classmethod
    def of(cls, file: str) -> _Name | None:
        """None where the name ends in nothing that could be a side."""
        bare = _PLAIN.sub("", _PACKED.sub("", file))
        for side in _SIDES:
            if match := re.fullmatch(rf"(.*?)[._-]?{side}", bare, re.IGNORECASE | re.DOTALL):
                return cls(match[1], side)
        match = _SIDE.fullmatch(bare)
        if match is None or match["side"].lower() in _NO_LANGUAGE:
            return None
        return cls(match["before"], match["side"].lower())


class AlignedTexts(Format):
    """Names are alike but for a language or `source` and `target`: `train.en`, `train.de`, plain or packed.

    What is translated from is the side that `columns` names (`{"text": "en"}`), else `source`, else the first by name.
    """

    name = "aligned_texts"
    summary = "Two text files, line by line the same in two languages: train.en and train.de, plain, gzip, bzip2 or xz"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text"})
    has_columns = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """Sure, where every file has a partner; none of it where there are more or fewer than two sides."""
        if not super().detect(sources, wanted) or (wanted is not None and "target" not in wanted):
            return 0
        named = [_Name.of(source.name) for source in sources if source.content in cls.accepted_content]
        names = [name for name in named if name is not None]
        stems = {name.stem for name in names}
        paired = [stem for stem in stems if len({name.side for name in names if name.stem == stem}) == 2]
        if len(names) < len(named) or len({name.side for name in names}) != 2 or not paired:
            return 0
        return SURE

    def read(self) -> Iterator[Batch]:
        """Pair by pair."""
        found = [(_Name.of(source.name) or _Name(source.name, ""), source) for source in self.sources]
        sides = self._sides([name.side for name, _ in found])
        pairs: dict[str, dict[str, UploadedFile]] = {}
        for name, source in found:
            pairs.setdefault(name.stem, {})[name.side] = source
        self.detected_columns = dict(zip(self.columns, sides, strict=True))
        for stem in sorted(pairs, key=natural_sort_key):
            pair = pairs[stem]
            alone = [source for side, source in pair.items() if set(pair) != set(sides)]
            for source in alone:
                expected = f"one file for each of {' and '.join(sides)}, named alike"
                self.issues.add("text_unpaired", at=Location(file=source.name), expected=expected)
            if not alone:
                yield from self._read_pair(*(pair[side] for side in sides))

    def _sides(self, sides: Sequence[str]) -> tuple[str, str]:
        """From which to which."""
        known = list(dict.fromkeys(sides))
        asked = {canonical: str(side).lower() for canonical, side in self.requested_columns.items()}
        wrong = [side for side in asked.values() if side not in known]
        if set(asked) - set(self.columns) or wrong or len(known) != 2 or len(set(asked.values())) < len(asked):
            expected = f'{{"text": ..., "target": ...}} of {", ".join(known)}'
            raise DataRejected("invalid_columns", actual=", ".join(map(str, asked.values())) or None, expected=expected)
        first = next((side for side in known if side in ("source", "src")), known[0])
        if "target" in asked:
            first = next(side for side in known if side != asked["target"])
        first = asked.get("text", first)
        return first, next(side for side in known if side != first)

    def _read_pair(self, source: UploadedFile, target: UploadedFile) -> Iterator[Batch]:
        count = {source.name: 0, target.name: 0}
        try:
            with (
                open_text(source, self.issues, self.limits) as one,
                open_text(target, self.issues, self.limits) as other,
            ):
                first, second = read_lines(one), read_lines(other)
                for start in itertools.count(0, ROWS_PER_BATCH):
                    texts, targets = _some(first), _some(second)
                    count[source.name] += len(texts)
                    count[target.name] += len(targets)
                    both = min(len(texts), len(targets))
                    if start + both > self.limits.max_rows:
                        raise DataRejected("too_many_rows", expected=f"at most {self.limits.max_rows:,} rows")
                    if both:
                        numbers = range(start + 1, start + both + 1)
                        columns = {"text": texts[:both], "target": targets[:both]}
                        yield Batch(columns, Locations(source.name, numbers, numbers), source.split or target.split)
                    if len(texts) < ROWS_PER_BATCH or len(targets) < ROWS_PER_BATCH:
                        break
                count[source.name] += sum(1 for _ in first)
                count[target.name] += sum(1 for _ in second)
        except DataRejected as refused:
            self.issues.record(refused, at=Location(file=source.name))
            return
        if count[source.name] != count[target.name]:
            told = " and ".join(f"{number:,} in {name}" for name, number in count.items())
            self.issues.add("line_counts_differ", at=Location(file=target.name), actual=told, expected="as many lines")


def _some(rest: Iterator[str]) -> list[str]:
    return [line.rstrip("\n") for line in itertools.islice(rest, ROWS_PER_BATCH)]
