"""Which row is trained on and which is kept aside: what the data says, what was asked, else a tenth held out by class.

G groups of equal rows. Copies of one row never part, so that nothing held out was seen in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.dataset import SPLITS, TEST, TRAIN, VALIDATION
from ml.data.files.upload import parse_split
from ml.data.importing.staging import NO_SPLIT
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.importing.staging import Staging

HELD_OUT_FRACTION: Final = 0.1
MAX_VALIDATION_ROWS: Final = 10_000
DROPPED: Final = -2


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """What was asked: shares of all rows, or a split for each file named."""

    shares: tuple[float, float, float] | None = None
    seed: int = 0
    files: tuple[tuple[str, str], ...] = ()
    """(name or pattern, split)."""

    @classmethod
    def of(cls, asked: Mapping[str, Any] | None) -> SplitPlan:
        """Raises `DataRejected` where `asked` is neither."""
        if not asked:
            return cls()
        if not isinstance(asked, dict):
            raise DataRejected("invalid_splits", actual=asked)
        given = dict(asked)
        seed = given.pop("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise DataRejected("invalid_splits", actual=f"seed {seed!r}", expected="a whole number of 0 or more")
        if all(isinstance(value, str) for value in given.values()):
            return cls(files=tuple((name, _known(split)) for name, split in given.items()), seed=seed)
        return cls(shares=_shares(given), seed=seed)

    def split_of(self, file: str) -> str | None:
        """The split asked for a file."""
        return next((split for name, split in self.files if name == file or fnmatchcase(file, name)), None)


def _known(split: str) -> str:
    found = parse_split(split)
    if found is None:
        raise DataRejected("invalid_splits", actual=split, expected=", ".join(SPLITS))
    return found


def _shares(given: Mapping[str, Any]) -> tuple[float, float, float]:
    unknown = [name for name in given if name not in SPLITS]
    numbers = [given.get(name, 0.0) for name in SPLITS]
    if unknown or any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
        raise DataRejected("invalid_splits", actual=dict(given), expected="shares of train, validation and test")
    train, validation, test = (float(value) for value in numbers)
    if not (train > 0 and validation >= 0 and test >= 0 and math.isclose(train + validation + test, 1, abs_tol=1e-3)):
        raise DataRejected(
            "invalid_splits", actual=dict(given), expected="fractions that add up to 1, above 0 for train"
        )
    return train, validation, test


def assign_splits(staging: Staging, plan: SplitPlan) -> tuple[np.ndarray, list[str]]:
    """int8 [N] into `SPLITS` for every row, and in words what was held out."""
    if plan.shares:
        return _spread(staging, np.arange(len(staging)), plan.shares, seed=plan.seed), []
    splits = staging.splits
    splits[splits == NO_SPLIT] = TRAIN
    if len(np.unique(splits)) == 1:
        splits[:] = TRAIN
    train = np.flatnonzero(splits == TRAIN)
    missing = [split for split in (VALIDATION, TEST) if not (splits == split).any()]
    if not missing or not len(train):
        return splits, []
    held_out = [HELD_OUT_FRACTION if split in missing else 0.0 for split in (VALIDATION, TEST)]
    held_out[0] = min(held_out[0], MAX_VALIDATION_ROWS / len(train))
    splits[train] = _spread(staging, train, (1 - sum(held_out), held_out[0], held_out[1]), seed=plan.seed)
    said = [
        f"{(splits == split).sum():,} of {len(train):,} rows were held out for {SPLITS[split]}, by class and by chance "
        f"(seed {plan.seed})"
        for split in missing
    ]
    return splits, said


def _spread(staging: Staging, rows: np.ndarray, shares: Sequence[float], *, seed: int) -> np.ndarray:
    """int8 [len(rows)]: each class parted by `shares`; where it has rows enough, no part goes without."""
    generator = np.random.default_rng(seed)
    _, firsts, group_of = np.unique(first_8_bytes(staging.hashes[rows]), return_index=True, return_inverse=True)
    group_labels = staging.codes[rows][firsts]
    order = np.argsort(firsts)  # by appearance: the hash must not decide
    parts = np.full(len(firsts), TRAIN, dtype=np.int8)
    for label in np.unique(group_labels):
        groups = generator.permutation(order[group_labels[order] == label])
        start = 0
        for part in (TEST, VALIDATION):
            left = len(groups) - start - 1
            count = min(max(1, round(len(groups) * shares[part])), left) if shares[part] else 0
            parts[groups[start : start + count]] = part
            start += count
    return parts[group_of]


def first_8_bytes(hashes: np.ndarray) -> np.ndarray:
    """uint64 [N] of uint8 [N, 16]: enough to tell rows apart, and quick to sort."""
    return np.ascontiguousarray(hashes[:, :8]).view(np.uint64)[:, 0]
