"""Label errors: checks for rows whose label is probably wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.cross_checks._picked_rows import pick, space_evenly
from ml.data.cross_checks.base import CrossCheck
from ml.data.issues import FlaggedRow
from ml.data.label_quality.confident_learning import (
    FOLDS,
    cross_validate,
    explained_fraction,
    find_label_errors,
)
from ml.data.label_quality.features import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.cross_checks.base import StagedRows
    from ml.data.label_quality.confident_learning import LabelErrors

#: Rows that a model needs to learn anything.
MIN_ROWS: Final = 100
MIN_CLASS_ROWS: Final = 2 * FOLDS
#: Bounds on the time: this many rows and classes take 5 to 20 CPU seconds.
MAX_ROWS: Final = 10_000
MAX_CLASSES: Final = 50
#: A model that knows less finds its own errors, rather than those of the labels.
MIN_EXPLAINED_FRACTION: Final = 0.5
#: With more suspicious rows, the classes overlap, or the model is wrong.
MAX_FLAGGED_FRACTION: Final = 0.2
#: Column type -> inverse strength of the regularization.
_INVERSE_PENALTY: Final = {"text": 4.0, "image": 0.02, "audio": 0.02}


class WrongLabels(CrossCheck):
    """Compares the labels with those that a small model predicts, by cross-validation."""

    name = "wrong_labels"
    columns: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def applies_to(cls, type_names: Mapping[str, str]) -> bool:
        """Return whether the data is one text, image or audio clip a row."""
        return len(type_names) == 1 and next(iter(type_names.values())) in FEATURES

    def finish(self, staged: StagedRows, splits: np.ndarray, column_names: Mapping[str, str | int]) -> None:
        """Report the rows whose label is probably wrong, the most certain ones first."""
        rows, labels, class_codes = _select(staged, splits)
        if len(rows) < MIN_ROWS or not 2 <= len(class_codes) <= MAX_CLASSES or staged.classes is None:
            return
        key_type = self._key_type(staged)
        features = FEATURES[key_type](pick(staged, rows))
        probabilities = cross_validate(features, labels, inverse_penalty=_INVERSE_PENALTY[key_type])
        errors = find_label_errors(probabilities, labels)
        is_overlap = len(errors.rows) > MAX_FLAGGED_FRACTION * len(rows)
        if is_overlap or explained_fraction(probabilities, labels) < MIN_EXPLAINED_FRACTION:
            return
        names = [staged.classes[code] for code in class_codes]
        self._report(errors, rows, labels, probabilities, names, staged)

    def _key_type(self, staged: StagedRows) -> str:
        return staged.column_types[staged.key_column].name

    def _report(
        self,
        errors: LabelErrors,
        rows: np.ndarray,
        labels: np.ndarray,
        probabilities: np.ndarray,
        names: list[str],
        staged: StagedRows,
    ) -> None:
        flags, descriptions = [], {}
        for place, suggested, probability in zip(errors.rows, errors.suggested, errors.probability, strict=True):
            row, label = int(rows[place]), names[labels[place]]
            flag = FlaggedRow(
                row=row, given_label=label, label=names[suggested], probability=round(float(probability), 4)
            )
            flags.append(flag)
            own_probability = probabilities[place, labels[place]]
            descriptions[row] = (f"{label} ({own_probability:.1%})", f"{flag.label} ({probability:.1%})")
        self.report(
            "label_probably_wrong",
            [flag.row for flag in flags],
            staged,
            descriptions.__getitem__,
            column="label",
            flagged_rows=flags,
        )


def _select(staged: StagedRows, splits: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return rows to compare, their labels, and the class code of every label.

    Rows without a label and rows of tiny classes are left out. Labels count from 0: int64 [n].
    """
    codes = staged.class_codes
    rows = np.flatnonzero((splits >= 0) & (codes >= 0))
    counts = np.bincount(codes[rows], minlength=1)
    rows = space_evenly(rows[counts[codes[rows]] >= MIN_CLASS_ROWS], MAX_ROWS)
    counts = np.bincount(codes[rows], minlength=1)
    rows = rows[counts[codes[rows]] >= FOLDS]
    class_codes, labels = np.unique(codes[rows], return_inverse=True)
    return rows, labels, class_codes.tolist()
