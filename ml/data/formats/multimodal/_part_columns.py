"""Choice of the columns of a manifest that hold the parts of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.record import RecordType
from ml.data.files import audio, images
from ml.data.issues import DataRejected, IssueLog
from ml.data.tables.column_aliases import ALIASES, NON_DATA_NAME, plain_name, position_of
from ml.data.tables.layout import FEATURES, JOIN_SIGN
from ml.data.tables.manifests import SPLIT_COLUMN_NAMES, find_column
from ml.data.tables.target_columns import CLASS_NAMES, OUTCOME_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.limits import Limits
    from ml.data.tables.manifests import ManifestRow

#: Parts of a row that are files, and the suffixes of these files.
FILE_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "image": frozenset(images.SUFFIXES),
    "audio": frozenset(audio.SUFFIXES),
}
#: Parts of a row, in the order of the columns of the dataset.
PARTS: Final = ("image", "text", "audio", FEATURES)
#: Targets and their usual names, the likeliest first.
TARGETS: Final[Mapping[str, Sequence[str]]] = {
    "label": (*ALIASES["label"], *CLASS_NAMES),
    "value": (*ALIASES["value"], *OUTCOME_NAMES),
}
SPLIT: Final = "split"
#: Rows whose cells decide what a column holds.
INSPECTED_ROWS: Final = 200
#: Mean words from which the longest unnamed column is a text.
MIN_TEXT_WORDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class PartColumns:
    """Columns of a manifest by canonical name; the features have several."""

    names: Mapping[str, str]
    features: tuple[str, ...]
    target: str
    #: Whether the text was chosen without a request or a usual name.
    is_text_guessed: bool = False

    @property
    def used(self) -> frozenset[str]:
        """All columns of the file that are read."""
        return frozenset((*self.names.values(), *self.features))


class PartColumnDetection:
    """Detects the columns of the parts by request, by cells and by names."""

    def __init__(self, rows: Sequence[ManifestRow], requested: Mapping[str, str | int], limits: Limits) -> None:
        self._rows = rows
        self._requested = requested
        self._limits = limits
        self._free = list(dict.fromkeys(name for row in rows for name in row.cells))
        self._all = tuple(self._free)

    def detect(self, target: str | None) -> PartColumns:
        """Return the columns; `target` is required, or None for the one that is there.

        Raises `DataRejected` if a request names no column, or the target is missing.
        """
        names: dict[str, str] = {}
        for canonical in (*PARTS[:-1], *TARGETS, SPLIT):
            if canonical in self._requested:
                names[canonical] = self._take(self._requested_name(self._requested[canonical]))
        features = self._requested_features()
        if SPLIT not in names and (column := find_column(self._free, SPLIT_COLUMN_NAMES)):
            names[SPLIT] = self._take(column)
        for part, suffixes in FILE_PARTS.items():
            if part not in names and (column := self._find_file_column(suffixes)):
                names[part] = self._take(column)
        target = self._find_target(names, target)
        is_text_guessed = "text" not in names and self._find_text(names, has_features=bool(features))
        if not features:
            features = self._choose_features()
        return PartColumns(names, features, target, is_text_guessed)

    def _take(self, column: str) -> str:
        if column in self._free:
            self._free.remove(column)
        return column

    def _requested_name(self, request: str | int) -> str:
        if isinstance(request, int) and 1 <= request <= len(self._all):
            return self._all[request - 1]
        if isinstance(request, str) and request in self._all:
            return request
        raise DataRejected("column_missing", actual=", ".join(self._all), expected=request)

    def _requested_features(self) -> tuple[str, ...]:
        request = self._requested.get(FEATURES)
        parts = request.split(JOIN_SIGN.strip()) if isinstance(request, str) else [] if request is None else [request]
        names = [self._requested_name(part.strip() if isinstance(part, str) else part) for part in parts]
        return tuple(self._take(name) for name in names)

    def _find_file_column(self, suffixes: frozenset[str]) -> str | None:
        """Return the first column most of whose cells name, or contain, such files."""
        for name in self._free:
            cells = [cell for row in self._rows[:INSPECTED_ROWS] if not is_empty(cell := row.cells.get(name))]
            if 2 * sum(is_file(cell, suffixes) for cell in cells) > len(cells):
                return name
        return None

    def _find_target(self, names: dict[str, str], target: str | None) -> str:
        for canonical in (target,) if target else TARGETS:
            if canonical in names:
                return canonical
            if column := find_column(self._free, TARGETS[canonical]):
                names[canonical] = self._take(column)
                return canonical
        raise DataRejected("column_missing", actual=", ".join(self._all), expected=target or "label")

    def _find_text(self, names: dict[str, str], *, has_features: bool) -> bool:
        """Add the column of texts by its name, or else the longest.

        Returns whether it was guessed.
        """
        position = position_of("text", [plain_name(name) for name in self._free])
        if position is not None:
            names["text"] = self._take(self._free[position])
            return False
        words = {name: self._mean_words(name) for name in self._free}
        longest = max(words, key=lambda name: words[name], default=None)
        if has_features or longest is None or words[longest] < MIN_TEXT_WORDS:
            return False
        names["text"] = self._take(longest)
        return True

    def _mean_words(self, name: str) -> float:
        cells = [str(cell) for row in self._rows[:INSPECTED_ROWS] if not is_empty(cell := row.cells.get(name))]
        return sum(len(cell.split()) for cell in cells) / len(cells) if cells else 0.0

    def _choose_features(self) -> tuple[str, ...]:
        """Return the remaining columns that a model can learn from, by all rows."""
        names = [name for name in self._free if not NON_DATA_NAME.fullmatch(name.strip())]
        record = RecordType(issues=IssueLog(max_samples=0), limits=self._limits)
        for row in self._rows:
            try:
                record.pack({name: row.cells.get(name) for name in names}, row.location)
            except DataRejected:
                continue
        judgments = record.judge_columns()
        return tuple(name for name in names if name in judgments and judgments[name].kind != "omitted")


def is_empty(cell: Any) -> bool:
    """Return whether a cell has no value."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_file(cell: Any, suffixes: frozenset[str]) -> bool:
    """Return whether a cell names a file with these suffixes, or contains one."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes):
        looks_like = images.looks_like_image if suffixes == FILE_PARTS["image"] else audio.looks_like_audio
        return looks_like(cell[:12])
    return isinstance(cell, str) and PurePosixPath(cell.strip()).suffix.lower() in suffixes
