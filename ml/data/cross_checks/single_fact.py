"""Checks for one fact of a row that predicts its label alone.

The fact is a property of a file (size, format, duration), a column that is not read, or a feature.
"""

from __future__ import annotations

import io
import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, Final
from zlib import crc32

import numpy as np

from ml.data.cell_values import to_single_number, to_value
from ml.data.cross_checks._picked_rows import pick, space_evenly
from ml.data.cross_checks.base import CrossCheck
from ml.data.files import audio, images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml.data.cross_checks.base import StagedRows
    from ml.data.locations import Locations

MIN_ROWS: Final = 40
MIN_CLASS_ROWS: Final = 8
MAX_CLASSES: Final = 100
#: Facts of all rows that are held in memory; beyond, nothing is checked.
MAX_FACTS: Final = 4_000_000
#: Rows whose features are looked at.
MAX_ROWS: Final = 20_000
#: Mean recall of the classes from which on a fact predicts them, if neighboring values get their commonest class.
#: Random labels reach 0.75, and the best feature of a dataset such as iris 0.95.
MIN_RECALL: Final = 0.97
#: Rows of one group of neighboring values.
_GROUP_ROWS: Final = 5
_MAX_GROUPS: Final = 400


class SingleFact(CrossCheck):
    """Compares the label with every fact on its own."""

    name = "single_fact"
    columns: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._of_files: dict[str, list[float]] = defaultdict(list)
        self._unread: dict[str, list[float]] = defaultdict(list)

    @classmethod
    def applies_to(cls, type_names: Mapping[str, str]) -> bool:
        """Return whether the data has one input a row."""
        return next(iter(type_names.values()), None) in ("text", "image", "audio", "record")

    def check(self, values: Mapping[str, Sequence[Any]], rows: np.ndarray, locations: Locations) -> None:
        """Collect the facts of the files of one batch."""
        if "label" not in values:
            return
        for column, describe in _DESCRIBERS.items():
            files = values.get(column)
            if files is None or isinstance(files, np.ndarray):
                continue
            for row in rows.tolist():
                for fact, value in describe(files[row]).items():
                    self._of_files[fact].append(value)

    def check_unread(self, cells: Mapping[str, Sequence[Any]], rows: np.ndarray) -> None:
        """Collect the cells of columns that are not read."""
        if sum(map(len, self._unread.values())) > MAX_FACTS:
            return
        for name, column in cells.items():
            self._unread[name] += [_to_fact(column[row]) for row in rows.tolist()]

    def finish(self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]) -> None:
        """Report the facts that predict the label alone."""
        if staged.classes is None or not 2 <= len(staged.classes) <= MAX_CLASSES:
            return
        codes = staged.class_codes
        for facts, code, expected in (
            (self._of_files, "label_leaked_by_files", "files of all classes alike"),
            (self._unread, "column_predicts_label", "not learned from"),
        ):
            for name, values in facts.items():
                self._report(code, name, np.array(values), codes, expected)
        if staged.column_types[staged.key_column].name == "record":
            self._check_features(staged, codes)

    def _check_features(self, staged: StagedRows, codes: np.ndarray) -> None:
        rows = space_evenly(np.flatnonzero(codes >= 0), MAX_ROWS)
        records = [json.loads(value) for value in pick(staged, rows)] if len(rows) else []
        for name in dict.fromkeys(name for record in records for name in record):
            values = np.array([_to_fact(record.get(name)) for record in records])
            self._report("feature_predicts_label", name, values, codes[rows], "features that are known beforehand")

    def _report(self, code: str, name: str, values: np.ndarray, codes: np.ndarray, expected: str) -> None:
        recall = predict_by(values, codes) if len(values) == len(codes) else 0.0
        if recall >= MIN_RECALL:
            actual = f"{name} alone predicts {recall:.0%} of the rows of a class"
            self.issues.add(code, actual=actual, expected=expected)


def predict_by(values: np.ndarray, codes: np.ndarray) -> float:
    """Return the mean recall of classes if rows with near values get their commonest class.

    Values that mostly differ are put into groups of neighbors. The result is 0 if there are too few rows.

    Args:
        values: float [N], NaN if missing.
        codes: int32 [N], -1 for a row without a label.
    """
    counts = np.bincount(codes[codes >= 0])
    is_large = (codes >= 0) & (counts[codes] >= MIN_CLASS_ROWS)
    values, codes = values[is_large], codes[is_large]
    if len(codes) < MIN_ROWS or len(np.unique(codes)) < 2:
        return 0.0
    distinct, groups = np.unique(values, return_inverse=True)
    if len(distinct) < 2:
        return 0.0
    if len(distinct) * _GROUP_ROWS > len(codes):
        ranks = np.empty(len(values), dtype=np.int64)
        ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
        groups = ranks // max(_GROUP_ROWS, len(values) // _MAX_GROUPS)
    table = np.zeros((int(groups.max()) + 1, len(counts)), dtype=np.int64)
    np.add.at(table, (groups, codes), 1)
    predicted = table.argmax(axis=1)[groups]
    return float(np.mean([(predicted[codes == code] == code).mean() for code in np.unique(codes)]))


def _to_fact(cell: Any) -> float:
    """Return the number of a cell, or one that is equal for equal texts."""
    try:
        value = to_value(cell)
    except ValueError:
        return math.nan
    if value is None:
        return math.nan
    number = float(value) if isinstance(value, bool | int | float) else to_single_number(value)
    return float(crc32(str(value).encode("utf-8", "replace"))) if number is None else number


def _describe_image(data: Any) -> dict[str, float]:
    if not isinstance(data, bytes):
        return {}
    width, height = images.read_size(data) or (math.nan, math.nan)
    return {
        "the size of the file": len(data),
        "the format of the file": crc32(data[:3]),
        "the width of the image": width,
        "the height of the image": height,
    }


def _describe_audio(data: Any) -> dict[str, float]:
    import soundfile

    if not isinstance(data, bytes):
        return {}
    rate_hz = seconds = math.nan
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate_hz, seconds = file.samplerate, audio.read_seconds(data) or math.nan
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError):
        pass
    return {
        "the format of the file": crc32(data[:3]),
        "the sample rate of the clip": rate_hz,
        "the duration of the clip": seconds,
    }


#: Column -> facts of its files.
_DESCRIBERS: Final[Mapping[str, Callable[[Any], dict[str, float]]]] = {
    "image": _describe_image,
    "audio": _describe_audio,
}
