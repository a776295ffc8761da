"""Resolves and checks the classes of an import, once all rows are known.

N rows; `codes` int32 [N] into the class names, `splits` int8 [N] into `SPLITS`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.dataset import SPLITS, TEST, TRAIN, VALIDATION
from ml.data.files.natural_sort import natural_sort_key
from ml.data.importing.no_label import find_doubtful_classes, find_joined_labels, find_no_label_marks
from ml.data.importing.staging import LABEL, NO_LABEL, NO_SPLIT

if TYPE_CHECKING:
    from ml.data.importing.staging import Staging
    from ml.data.issues import IssueLog

#: A class with fewer rows cannot be both trained and evaluated on.
MIN_CLASS_ROWS: Final = 2
#: A class with fewer rows is hardly learned or measured.
FEW_CLASS_ROWS: Final = 5
#: Metrics of a dataset with fewer rows are unreliable.
FEW_ROWS: Final = 20
#: Fraction of the largest class from which on accuracy says nothing.
MAX_CLASS_FRACTION: Final = 0.95
_NUMBER: Final = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.\d{0,30})?(e[+-]?\d{1,2})?", re.IGNORECASE)


def resolve_classes(staging: Staging, issues: IssueLog) -> tuple[list[str] | None, np.ndarray]:
    """Return the classes in natural order and the class code of every row.

    The classes are None if no row has a label. If only some rows have none, these are reported as errors, unless they
    are left out.
    """
    codes = staging.codes
    if not staging.label_codes:
        return None, codes
    labels = list(staging.label_codes)
    names = _normalize_integers(labels)
    is_changed = [label != name for label, name in zip(labels, names, strict=True)]
    if any(is_changed):
        rows = int(np.isin(codes, np.flatnonzero(is_changed)).sum())
        issues.add("labels_as_floats", actual=labels[is_changed.index(True)], count=rows)
    classes = sorted(set(names), key=natural_sort_key)
    code_of = {name: code for code, name in enumerate(classes)}
    new_codes = np.array([code_of[name] for name in names], dtype=np.int32)
    unlabeled = np.flatnonzero((codes == NO_LABEL) & ~find_rows_to_leave_out(staging))
    for row in unlabeled[: issues.max_samples]:
        issues.add("missing_label", at=staging.locate(int(row), LABEL), rows=1)
    issues.add_more("missing_label", len(unlabeled) - issues.max_samples, rows=1)
    return classes, np.where(codes == NO_LABEL, NO_LABEL, new_codes[codes]).astype(np.int32)


def remove_marks(staging: Staging, issues: IssueLog) -> None:
    """Report rows whose label says that they have none or several, and take it away.

    What is a class of stored rows stays one.
    """
    if not staging.label_codes:
        return
    codes, splits = staging.codes, staging.splits
    code_of = staging.label_codes
    label_of = {code: label for label, code in code_of.items()}
    learned = set(np.unique(codes[(splits == NO_SPLIT) | (splits == TRAIN)]).tolist())
    stored = set(np.unique(codes[: staging.earlier_rows]).tolist())
    marks = find_no_label_marks(code_of, learned=[label for label, code in code_of.items() if code in learned])
    marks = [mark for mark in marks if code_of[mark] not in stored]
    several = [label for label in find_joined_labels(code_of) if code_of[label] not in stored]
    joined = np.flatnonzero(np.isin(codes, [code_of[label] for label in several])).tolist()
    staging.joined_labels = len(joined)
    for row in joined:
        actual = label_of[int(codes[row])]
        issues.add("label_not_plain", at=staging.locate(row, LABEL), actual=actual, expected="one class", rows=1)
    doubtful = find_doubtful_classes([label for label in code_of if label not in marks])
    for mark in marks:
        rows = np.flatnonzero(codes == code_of[mark])
        issues.add("label_means_none", at=staging.locate(int(rows[0]), LABEL), actual=mark, count=len(rows))
    for label in doubtful:
        rows = np.flatnonzero(codes == code_of[label])
        issues.add("class_may_mean_none", at=staging.locate(int(rows[0]), LABEL), actual=f"{label}: {len(rows):,} rows")
    if marks or several:
        staging.remove_labels([*marks, *several])


def find_rows_to_leave_out(staging: Staging) -> np.ndarray:
    """Return a mask of the rows to leave out as unlabeled, bool [N].

    Their label says that they have none, or no row of their held-out split has a label.
    """
    mask: np.ndarray = find_unlabeled_splits(staging) | staging.is_marked_unlabeled
    return mask


def find_unlabeled_splits(staging: Staging) -> np.ndarray:
    """Return a mask of the rows of held-out splits without any label, bool [N].

    It is empty if no row has a label.
    """
    codes, splits = staging.codes, staging.splits
    mask = np.zeros(len(codes), dtype=bool)
    if not staging.label_codes:
        return mask
    for split in (VALIDATION, TEST):
        rows = splits == split
        if rows.any() and (codes[rows] == NO_LABEL).all():
            mask |= rows
    return mask


def count_classes(classes: list[str], codes: np.ndarray, splits: np.ndarray) -> dict[str, dict[str, int]]:
    """Return split -> class -> number of rows."""
    counts = {
        split: np.bincount(codes[(splits == code) & (codes >= 0)], minlength=len(classes))
        for code, split in enumerate(SPLITS)
    }
    return {split: dict(zip(classes, rows.tolist(), strict=True)) for split, rows in counts.items()}


def check_classes(counts: dict[str, dict[str, int]], codes: np.ndarray, staging: Staging, issues: IssueLog) -> None:
    """Report classes that are small, dominant, missing in a split, or alike in name."""
    classes = list(counts["train"])
    _check_names(classes, issues)
    totals = {name: sum(rows[name] for rows in counts.values()) for name in classes}
    _check_balance(totals, issues)
    for code, (name, total) in enumerate(totals.items()):
        if total < MIN_CLASS_ROWS:
            at = next((staging.locate(int(row), LABEL) for row in np.flatnonzero(codes == code)[:1]), None)
            expected = f"at least {MIN_CLASS_ROWS} rows"
            issues.add("class_too_small", at=at, actual=f"{name}: {total}", expected=expected)
        elif counts["train"][name] == 0:
            issues.add("class_missing_in_train", actual=name)
        elif total < FEW_CLASS_ROWS:
            issues.add("class_tiny", actual=f"{name}: {total}", expected=f"at least {FEW_CLASS_ROWS} rows")
        for split in SPLITS[1:]:
            if counts[split][name] == 0 and any(counts[split].values()):
                issues.add("class_missing_in_split", actual=f"{name} in {split}")


def _check_names(classes: list[str], issues: IssueLog) -> None:
    if len(classes) == 1:
        issues.add("one_class", actual=classes[0])
    first_of: dict[str, str] = {}
    for name in classes:
        twin = first_of.setdefault(name.casefold(), name)
        if twin != name:
            issues.add("class_names_differ_in_case", actual=f"{twin}, {name}")


def _check_balance(totals: dict[str, int], issues: IssueLog) -> None:
    """Report classes of one row each, and a class that has nearly all rows."""
    if len(totals) > 1 and max(totals.values()) == 1:
        issues.add("every_row_its_own_class", actual=f"{len(totals):,} rows, {len(totals):,} labels")
    largest, rows = max(totals, key=lambda name: totals[name]), sum(totals.values())
    if len(totals) > 1 and totals[largest] >= MAX_CLASS_FRACTION * rows and rows >= FEW_ROWS:
        actual = f"{largest}: {totals[largest]:,} of {rows:,} rows"
        issues.add("nearly_one_class", actual=actual, expected=f"less than {MAX_CLASS_FRACTION:.0%}")


def _normalize_integers(names: list[str]) -> list[str]:
    """Write 1.0 and 1e0 as 1, if all names are integers.

    If one of them is like 007, all are names and stay as they are.
    """
    if all(name.lstrip("+-").isdecimal() for name in names):
        return names
    if not all(_NUMBER.fullmatch(name) and float(name).is_integer() for name in names):
        return names
    return [str(int(float(name))) for name in names]
