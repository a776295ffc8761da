"""Train, validation and test splits: assigns rows to them.

The splits are those that the user requests or the data names, or else a tenth of every class is held out. Copies of a
row and the turns of a conversation are never separated, so that no held-out row was trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ml.data.dataset import SPLITS, TEST, TRAIN, VALIDATION
from ml.data.files.upload import parse_split
from ml.data.importing.staging import NO_LABEL, NO_SPLIT
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.importing.staging import Staging
    from ml.data.issues import IssueLog

HELD_OUT_FRACTION: Final = 0.1
MAX_VALIDATION_ROWS: Final = 10_000
#: Column whose equal values may have many answers.
PROMPT: Final = "prompt"
#: With fewer patients, speakers or users than this, none can be held out.
MIN_SUBJECTS: Final = 10
#: 2^64 divided by the golden ratio, to combine hashes (Knuth, The Art of Computer Programming, volume 3, 6.4).
HASH_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
#: Split code of a row that is left out of the dataset.
DROPPED: Final = -2


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Requested splits: fractions of all rows, or a split for files by name."""

    #: Fractions of train, validation and test.
    fractions: tuple[float, float, float] | None = None
    seed: int = 0
    #: (name or pattern, split).
    files: tuple[tuple[str, str], ...] = ()
    #: Whether all rows stay in the splits that they are in.
    is_final: bool = False
    #: Splits of the rows that are there already which were held out at random; None if that is not known.
    random_splits: tuple[str, ...] | None = None
    #: Fractions of train, validation and test for rows that are appended; None if all rows are new.
    appended_fractions: tuple[float, float, float] | None = None

    @classmethod
    def from_request(cls, request: Mapping[str, Any] | None) -> SplitPlan:
        """Parse `{split: fraction}` or `{file: split}`; raises `DataRejected`."""
        if not request:
            return cls()
        if not isinstance(request, dict):
            raise DataRejected("invalid_splits", actual=request)
        values = dict(request)
        seed = values.pop("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise DataRejected("invalid_splits", actual=f"seed {seed!r}", expected="an integer from 0 to 4,294,967,295")
        if all(isinstance(value, str) for value in values.values()):
            return cls(files=tuple((name, _parse_split_name(split)) for name, split in values.items()), seed=seed)
        return cls(fractions=_parse_fractions(values), seed=seed)

    def split_of(self, file: str) -> str | None:
        """Return the split requested for a file, or None."""
        return next((split for name, split in self.files if name == file or fnmatchcase(file, name)), None)


def _parse_split_name(name: str) -> str:
    split = parse_split(name)
    if split is None:
        raise DataRejected("invalid_splits", actual=name, expected=", ".join(SPLITS))
    return split


def _parse_fractions(values: Mapping[str, Any]) -> tuple[float, float, float]:
    unknown = [name for name in values if name not in SPLITS]
    numbers = [values.get(name, 0.0) for name in SPLITS]
    if unknown or any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
        expected = "fractions of train, validation and test"
        raise DataRejected("invalid_splits", actual=dict(values), expected=expected)
    train, validation, test = (float(value) for value in numbers)
    if not (train > 0 and validation >= 0 and test >= 0 and math.isclose(train + validation + test, 1, abs_tol=1e-3)):
        expected = "fractions that add up to 1, above 0 for train"
        raise DataRejected("invalid_splits", actual=dict(values), expected=expected)
    return train, validation, test


class Assignment(NamedTuple):
    """Splits of all rows."""

    #: int8 [N] into `SPLITS`, below 0 for a row that is left out.
    splits: np.ndarray
    #: About rows that were held out at random.
    messages: list[str]
    #: Splits that were held out at random; None if that is not known.
    random_splits: tuple[str, ...] | None


def assign_splits(staging: Staging, plan: SplitPlan, left_out: np.ndarray) -> Assignment:
    """Return the split of every row; `left_out`: mask of the rows to drop, bool [N]."""
    if plan.is_final:
        return Assignment(staging.splits, [], plan.random_splits)
    if plan.appended_fractions is not None:
        return _assign_appended(staging, plan, left_out)
    splits = staging.splits
    splits[splits == NO_SPLIT] = TRAIN
    splits[left_out] = DROPPED
    rows = np.flatnonzero(~left_out)
    if plan.fractions:
        splits[rows] = _split_by_class(staging, rows, plan.fractions, seed=plan.seed)
        return Assignment(splits, [], tuple(SPLITS[1:]))
    if len(np.unique(splits[rows])) == 1:
        splits[rows] = TRAIN
    train = np.flatnonzero(splits == TRAIN)
    missing = [split for split in (VALIDATION, TEST) if not (splits == split).any()]
    if not missing or not len(train):
        return Assignment(splits, [], ())
    held_out = [HELD_OUT_FRACTION if split in missing else 0.0 for split in (VALIDATION, TEST)]
    held_out[0] = min(held_out[0], MAX_VALIDATION_ROWS / len(train))
    splits[train] = _split_by_class(staging, train, (1 - sum(held_out), held_out[0], held_out[1]), seed=plan.seed)
    messages = [
        f"{(splits == split).sum():,} of {len(train):,} rows were held out for {SPLITS[split]}, at random within each "
        f"class (seed {plan.seed})"
        for split in missing
    ]
    if subjects_to_separate(staging) is not None:
        messages.append(f"Rows with one value of {staging.subject_name} are in one split.")
    return Assignment(splits, messages, tuple(SPLITS[split] for split in missing))


def _assign_appended(staging: Staging, plan: SplitPlan, left_out: np.ndarray) -> Assignment:
    """Keep earlier rows in their splits, and put what belongs with them there as well.

    Other new rows are in the splits that the data names or the request says, and else drawn by the hash of their
    content: a row has the same split in whichever append it comes, and small parts keep the fractions on average.
    """
    splits, count = staging.splits, staging.earlier_rows
    earlier_splits = splits[:count].copy()
    if plan.fractions:
        splits[count:] = NO_SPLIT
    groups = group_rows(staging)
    earlier_groups, firsts = np.unique(groups[:count], return_index=True)
    places = np.minimum(np.searchsorted(earlier_groups, groups), len(earlier_groups) - 1)
    follows = (splits == NO_SPLIT) & (earlier_groups[places] == groups)
    splits[follows] = earlier_splits[firsts[places[follows]]]
    splits[left_out] = DROPPED
    rows = np.flatnonzero(splits == NO_SPLIT)
    fractions = plan.fractions or plan.appended_fractions
    assert fractions is not None, "rows are appended"
    is_new_class = ~np.isin(staging.codes[rows], np.append(staging.codes[:count], NO_LABEL))
    # With all rows of their groups: two ways to split a patient or a conversation would tear it.
    joins_new_class = np.isin(groups[rows], groups[rows[is_new_class]])
    by_class = rows if plan.fractions else rows[joins_new_class]
    splits[by_class] = _split_by_class(staging, by_class, fractions, seed=plan.seed)
    drawn = np.setdiff1d(rows, by_class)
    splits[drawn] = _split_by_hash(staging, groups, drawn, fractions)
    messages = [f"{count:,} rows stay in their splits, and {len(splits) - count:,} rows are new."]
    messages += [
        f"{held_out:,} of {len(rows):,} new rows were held out for {SPLITS[split]}, at random"
        for split in (VALIDATION, TEST)
        if (held_out := int((splits[rows] == split).sum()))
    ]
    return Assignment(splits, messages, plan.random_splits)


def _split_by_hash(staging: Staging, groups: np.ndarray, rows: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Split rows by the hash of the first row of their group, int8 [len(rows)]."""
    _, firsts, group_of = np.unique(groups[rows], return_index=True, return_inverse=True)
    hashes = hash_rows(staging, first_8_bytes(staging.hashes))[rows[firsts]] * HASH_MULTIPLIER
    numbers = hashes.astype(np.float64) / 2.0**64
    held_out = fractions[VALIDATION], fractions[TEST]
    splits = np.select([numbers < held_out[1], numbers < sum(held_out)], [TEST, VALIDATION], TRAIN).astype(np.int8)
    return splits[group_of]


def _split_by_class(staging: Staging, rows: np.ndarray, fractions: Sequence[float], *, seed: int) -> np.ndarray:
    """Split every class by `fractions` at random, int8 [len(rows)].

    A class with enough rows has at least one in every split.
    """
    generator = np.random.default_rng(seed)
    _, firsts, group_of = np.unique(group_rows(staging)[rows], return_index=True, return_inverse=True)
    group_labels = staging.codes[rows][firsts]
    order = np.argsort(firsts)  # in order of appearance: the hash must not decide
    splits = np.full(len(firsts), TRAIN, dtype=np.int8)
    for label in np.unique(group_labels):
        groups = generator.permutation(order[group_labels[order] == label])
        start = 0
        for split in (TEST, VALIDATION):
            max_count = len(groups) - start - 1
            count = min(max(1, round(len(groups) * fractions[split])), max_count) if fractions[split] else 0
            splits[groups[start : start + count]] = split
            start += count
    return splits[group_of]


def group_rows(staging: Staging) -> np.ndarray:
    """Return uint64 [N], equal for rows of one split.

    These are copies, turns of a conversation, parts of one audio file, and rows about one subject.
    """
    keys = row_keys(staging)
    parents = None if staging.parents is None else _number_zeros(staging.parents)
    candidates = (staging.groups, parents, subjects_to_separate(staging))
    memberships = [values for values in candidates if values is not None]
    if not memberships:
        return keys
    assert all(len(values) == len(keys) for values in memberships), "every row has a membership"
    # Rows with one key join the groups of all of them; the root of a group is its first row.
    roots = np.arange(len(keys))

    def find_root(row: int) -> int:
        while roots[row] != row:
            roots[row] = roots[roots[row]]
            row = int(roots[row])
        return row

    for values in (*memberships, keys):
        _, firsts, inverse = np.unique(values, return_index=True, return_inverse=True)
        for row, first in enumerate(firsts[inverse].tolist()):
            low, high = sorted((find_root(row), find_root(first)))
            roots[high] = low
    return np.array([find_root(row) for row in range(len(roots))], dtype=np.uint64)


def subjects_to_separate(staging: Staging) -> np.ndarray | None:
    """Return uint64 [N], equal for rows about one subject.

    None if there are too few subjects to hold some out.
    """
    subjects = staging.subjects
    if not staging.subject_name or len(np.unique(subjects)) < MIN_SUBJECTS:
        return None
    return _number_zeros(subjects)


def _number_zeros(hashes: np.ndarray) -> np.ndarray:
    """Return hashes, uint64 [N], with a number of its own in place of every 0."""
    zeros = np.flatnonzero(hashes == 0)
    numbered = hashes.copy()
    numbered[zeros] = zeros.astype(np.uint64) + np.uint64(1)
    return numbered


def report_subjects(staging: Staging, splits: np.ndarray, issues: IssueLog) -> None:
    """Report too few subjects to hold some out, and subjects in several splits."""
    name = staging.subject_name
    subjects = staging.subjects
    count = len(np.unique(subjects[subjects != 0]))
    if not name or count < 2:
        return
    if count < MIN_SUBJECTS:
        issues.add("subjects_too_few", actual=f"{name}: {count} values", expected=f"at least {MIN_SUBJECTS}")
        return
    has_subject = subjects != 0
    learned = np.unique(subjects[has_subject & (splits == TRAIN)])
    judged = np.unique(subjects[has_subject & np.isin(splits, (VALIDATION, TEST))])
    shared = np.intersect1d(learned, judged)
    if len(shared):
        row = int(np.flatnonzero(np.isin(subjects, shared) & (splits != TRAIN) & (splits >= 0))[0])
        actual = f"{len(shared):,} of {count:,} values of {name}"
        issues.add("subjects_in_several_splits", at=staging.locate(row), actual=actual, count=len(shared))


def row_keys(staging: Staging) -> np.ndarray:
    """Return uint64 [N], equal for copies: rows with equal values in the key column.

    A prompt that many rows share (one instruction for a whole job) is no sign of a copy. There the whole row is, and so
    it is where rows may lack values. Where a column type says that equal values are no copies, all keys differ.
    """
    keys = first_8_bytes(staging.hashes)
    if not len(keys):
        return keys
    if staging.missing:
        return hash_rows(staging, keys)
    if not staging.column_types[staging.key_column].are_copies(len(np.unique(keys)), len(keys)):
        return np.arange(len(keys), dtype=np.uint64)
    if staging.key_column != PROMPT:
        return keys
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    is_shared = counts[inverse] > max(1, HELD_OUT_FRACTION * len(keys))
    return np.where(is_shared, hash_rows(staging, keys), keys)


def hash_rows(staging: Staging, keys: np.ndarray) -> np.ndarray:
    """Return uint64 [N], equal for rows with equal keys and equal values in all columns."""
    row_hashes = keys.copy()
    for column in staging.column_types:
        if column != staging.key_column:
            row_hashes = row_hashes * HASH_MULTIPLIER + first_8_bytes(staging.hashes_of(column))
    return row_hashes


def first_8_bytes(hashes: np.ndarray) -> np.ndarray:
    """Return uint64 [N] of uint8 [N, 16]: enough to distinguish rows, and fast to sort."""
    return np.ascontiguousarray(hashes[:, :8]).view(np.uint64)[:, 0]
