"""Texts with their labels on one line, as fastText or TREC write them."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.files.text import open_text, read_lines
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

PREFIX: Final = "__label__"
#: Start of a line of TREC: a coarse and a fine class, `DESC:manner How did it end ?`.
_CLASSES: Final = re.compile(r"(?P<fine>(?P<coarse>[A-Z]{2,}):[a-z]\w*)\s+(?=\S)")
#: Which of them may be the label; the first is the default, whose names contain the others.
LEVELS: Final = ("fine", "coarse")
SURE: Final = 3.0


class FastText(Format):
    """`__label__positive the text` on each line, or `DESC:manner the text`."""

    name = "fasttext"
    summary = (
        "Text lines that begin with their class, as fastText reads them: __label__positive it was good; or DESC:manner "
        "as TREC, of which `label = coarse` takes DESC"
    )
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text"})
    has_columns = True
    refuses_markup = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if all files begin with a label."""
        starts = [start for source in sources for start in source.text_starts.values() if source.content == "text"]
        is_sure = len(starts) == len(sources) and all(map(_begins_with_label, starts))
        return SURE * super().detect(sources, required) if is_sure else 0

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another.

        Raises `DataRejected` if the requested classes are neither the fine nor the coarse ones.
        """
        level = self._choose_level()
        yield from self.read_files(lambda source: self._read_file(source, level))

    def _choose_level(self) -> str:
        if not any(_begins_with_classes(start) for source in self.sources for start in source.text_starts.values()):
            if self.requested_columns:
                self.issues.add("columns_not_used", actual=", ".join(self.requested_columns))
            return LEVELS[0]
        level = str(self.requested_columns.get("label", LEVELS[0])).lower()
        if level not in LEVELS or self.requested_columns.keys() - {"label"}:
            actual = ", ".join(f"{name} = {value}" for name, value in self.requested_columns.items())
            expected = " or ".join(f'{{"label": "{name}"}}' for name in LEVELS)
            raise DataRejected("invalid_columns", actual=actual, expected=expected)
        self.detected_columns = {"label": level}
        return level

    def _read_file(self, source: UploadedFile, level: str) -> Iterator[Batch]:
        with open_text(source, self.issues, self.limits) as text:
            lines = enumerate(read_lines(text), start=1)
            rows = ((number, line.strip()) for number, line in lines if line.strip())
            while batch := list(itertools.islice(rows, ROWS_PER_BATCH)):
                yield self._to_batch(batch, source, level)

    def _to_batch(self, rows: Sequence[tuple[int, str]], source: UploadedFile, level: str) -> Batch:
        numbers, texts, labels = [], [], []
        for number, line in rows:
            words = line.split()
            classes = _CLASSES.match(line)
            if classes and not line.startswith(PREFIX):
                numbers.append(number)
                texts.append(line[classes.end() :])
                labels.append(classes[level])
                continue
            names = list(itertools.takewhile(lambda word: word.startswith(PREFIX), words))
            if len(names) > 1:
                at = Location(file=source.name, line=number)
                self.issues.add("label_not_plain", at=at, actual=" ".join(names), rows=1)
                continue
            numbers.append(number)
            texts.append(line.removeprefix(names[0]).strip() if names else line)
            labels.append(names[0].removeprefix(PREFIX) if names else "")
        lines = np.array(numbers, dtype=np.int64)
        return Batch({"text": texts, "label": labels}, Locations(source.name, rows=lines, lines=lines), source.split)


def _begins_with_label(start: bytes) -> bool:
    return start.lstrip().startswith(PREFIX.encode()) or _begins_with_classes(start)


def _begins_with_classes(start: bytes) -> bool:
    """Return whether lines begin with two classes each, as those of TREC."""
    lines = [line.strip() for line in start.decode("utf-8", "replace").splitlines() if line.strip()]
    # The last line may be cut off after its class.
    whole = lines[:-1] or lines
    return bool(whole) and all(map(_CLASSES.match, whole))
