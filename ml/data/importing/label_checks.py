"""What can only be judged once every row is known: classes, splits, copies.

N rows; `codes` int32 [N] into the class names, `splits` int8 [N] into `SPLITS`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.data.dataset import SPLITS, TEST, TRAIN, VALIDATION
from ml.data.files.natural_sort import natural_sort_key
from ml.data.importing.splits import DROPPED, first_8_bytes
from ml.data.importing.staging import LABEL, NO_LABEL

if TYPE_CHECKING:
    from ml.data.importing.staging import Staging
    from ml.data.issues import IssueLog

MIN_CLASS_ROWS: Final = 2
FEW_CLASS_ROWS: Final = 5
_MIXED: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without a pattern: what is multiplied by it may be added to."""
FEW_ROWS: Final = 20
MAX_CLASS_FRACTION: Final = 0.95
"""Share of the largest class from which on accuracy says nothing."""
_NUMBER: Final = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.\d{0,30})?(e[+-]?\d{1,2})?", re.IGNORECASE)


def resolve_classes(staging: Staging, issues: IssueLog) -> tuple[list[str] | None, np.ndarray]:
    """The classes in natural order and the code of each row; None where no row has a label."""
    codes = staging.codes
    if not staging.label_codes:
        return None, codes
    names = list(staging.label_codes)
    settled = _without_fractions(names)
    changed = [old != new for old, new in zip(names, settled, strict=True)]
    if any(changed):
        rows = int(np.isin(codes, np.flatnonzero(changed)).sum())
        issues.add("labels_as_floats", actual=names[changed.index(True)], count=rows)
    classes = sorted(set(settled), key=natural_sort_key)
    code_of = {name: code for code, name in enumerate(classes)}
    table = np.array([code_of[name] for name in settled], dtype=np.int32)
    unlabelled = np.flatnonzero(codes == NO_LABEL)
    for row in unlabelled[: issues.max_samples]:
        issues.add("missing_label", at=staging.place(int(row), LABEL), rows=1)
    issues.add_more("missing_label", len(unlabelled) - issues.max_samples, rows=1)
    return classes, np.where(codes == NO_LABEL, NO_LABEL, table[codes]).astype(np.int32)


def count_classes(classes: list[str], codes: np.ndarray, splits: np.ndarray) -> dict[str, dict[str, int]]:
    """Split -> class -> rows."""
    counts = {
        split: np.bincount(codes[(splits == code) & (codes >= 0)], minlength=len(classes))
        for code, split in enumerate(SPLITS)
    }
    return {split: dict(zip(classes, rows.tolist(), strict=True)) for split, rows in counts.items()}


def check_classes(counts: dict[str, dict[str, int]], codes: np.ndarray, staging: Staging, issues: IssueLog) -> None:
    """Classes that are too small, missing somewhere, or look like one another."""
    classes = list(counts["train"])
    _check_names(classes, issues)
    totals = {name: sum(rows[name] for rows in counts.values()) for name in classes}
    if len(classes) > 1 and max(totals.values()) == 1:
        issues.add("every_row_its_own_class", actual=f"{len(classes):,} rows, {len(classes):,} labels")
    largest, rows = max(totals, key=lambda name: totals[name]), sum(totals.values())
    if len(classes) > 1 and totals[largest] >= MAX_CLASS_FRACTION * rows and rows >= FEW_ROWS:
        found, expected = f"{largest}: {totals[largest]:,} of {rows:,} rows", f"less than {MAX_CLASS_FRACTION:.0%}"
        issues.add("nearly_one_class", actual=found, expected=expected)
    for code, (name, total) in enumerate(totals.items()):
        if total < MIN_CLASS_ROWS:
            at = next((staging.place(int(row), LABEL) for row in np.flatnonzero(codes == code)[:1]), None)
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
    folded: dict[str, str] = {}
    for name in classes:
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            issues.add("class_case_twins", actual=f"{twin}, {name}")


def resolve_duplicates(staging: Staging, codes: np.ndarray, splits: np.ndarray, issues: IssueLog) -> np.ndarray:
    """Report equal rows; `splits` without those that would be learned from and measured on as well."""
    if not staging.kinds[staging.key].distinct:
        return splits
    keys = first_8_bytes(staging.hashes)
    _report_conflicts(staging, keys, codes, issues)
    settled = splits.copy()
    for split, kept in ((TRAIN, (VALIDATION, TEST)), (VALIDATION, (TEST,))):
        elsewhere = np.isin(splits, kept)
        copies = np.flatnonzero((splits == split) & np.isin(keys, keys[elsewhere]))
        settled[copies] = DROPPED
        _report_copies(staging, issues, "duplicate_across_splits", copies, np.flatnonzero(elsewhere), keys, rows=1)
    whole = _whole_rows(staging, keys, codes)
    for split in (TRAIN, VALIDATION, TEST):
        rows = np.flatnonzero(settled == split)
        _, firsts = np.unique(whole[rows], return_index=True)
        again = np.delete(rows, firsts)
        _report_copies(staging, issues, "duplicate_rows", again, rows[firsts], whole, rows=0)
    return settled


def _whole_rows(staging: Staging, keys: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """uint64 [N], alike where all of two rows is: a picture may well have two captions, and a prompt two answers."""
    whole = keys.copy()
    for column in staging.kinds:
        if column != staging.key:
            whole = whole * _MIXED + first_8_bytes(staging.hashes_of(column))
    return whole * _MIXED + codes.astype(np.uint64)


def _report_copies(
    staging: Staging,
    issues: IssueLog,
    code: str,
    copies: np.ndarray,
    originals: np.ndarray,
    keys: np.ndarray,
    *,
    rows: int,
) -> None:
    noun = staging.kinds[staging.key].noun
    for index in copies[: issues.max_samples]:
        original = originals[np.flatnonzero(keys[originals] == keys[index])[0]]
        place = staging.place(int(original))
        where = place.file if place.row is None else f"{place.file}, row {place.row}"
        issues.add(code, at=staging.place(int(index)), actual=f"the same {noun} as {where}", rows=rows)
    issues.add_more(code, len(copies) - issues.max_samples, rows=rows)


def _report_conflicts(staging: Staging, keys: np.ndarray, codes: np.ndarray, issues: IssueLog) -> None:
    labelled = np.flatnonzero(codes >= 0)
    pairs = np.unique(np.stack([keys[labelled], codes[labelled].astype(np.uint64)]), axis=1)
    conflicting = pairs[0][1:][pairs[0][1:] == pairs[0][:-1]]
    rows = np.flatnonzero(np.isin(keys, conflicting))
    names = {code: name for name, code in staging.label_codes.items()}
    for row in rows[: issues.max_samples]:
        issues.add("conflicting_labels", at=staging.place(int(row), LABEL), actual=names.get(int(staging.codes[row])))
    issues.add_more("conflicting_labels", len(rows) - issues.max_samples)


def _without_fractions(names: list[str]) -> list[str]:
    """1.0 and 1e0 as 1, if all are whole numbers and some are so written; where one is like 007, all are names."""
    if all(name.lstrip("+-").isdecimal() for name in names):
        return names
    if not all(_NUMBER.fullmatch(name) and float(name).is_integer() for name in names):
        return names
    return [str(int(float(name))) for name in names]
