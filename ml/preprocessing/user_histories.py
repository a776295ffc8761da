"""Histories of the users of the training data, in one file of a model.

The file has a line of JSON with the counts, and then, little-endian and without gaps, the ends of all histories
(int64), the ends of all ids (int64), the codes of all items (int32) and the ids in UTF-8, sorted.

U users, N items of all their histories, B bytes of all ids.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.errors import InputError, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Name of the file below `task/` of a package.
HISTORIES: Final = "histories.bin"
#: Users whose histories are stored, and the latest items of one of them.
MAX_USERS: Final = 1_000_000
MAX_USER_ITEMS: Final = 500
#: Code of the first item.
FIRST_ITEM: Final = 2
_COUNTS: Final = ("users", "items", "bytes")
_MAX_LINE_BYTES: Final = 200


@dataclass(frozen=True)
class UserHistories:
    """Codes of the items of users, who are found by bisection of their sorted ids."""

    #: End of each history in `codes`, and of each id in `ids`, int64 [U].
    ends: np.ndarray
    id_ends: np.ndarray
    #: Codes of the items of all histories, oldest first, int32 [N].
    codes: np.ndarray
    #: UTF-8 of all ids, one after another, [B].
    ids: bytes

    def __len__(self) -> int:
        return len(self.ends)

    @classmethod
    def of(cls, histories: Mapping[str, np.ndarray]) -> UserHistories:
        """Keep the latest items of each user, int32 [T].

        Above the limit, only the first users are stored.
        """
        first = itertools.islice(histories.items(), MAX_USERS)
        selected = sorted((user.encode(), codes[-MAX_USER_ITEMS:]) for user, codes in first)
        return cls(
            ends=np.cumsum([len(codes) for _, codes in selected], dtype="<i8"),
            id_ends=np.cumsum([len(user) for user, _ in selected], dtype="<i8"),
            codes=np.concatenate([np.empty(0, dtype="<i4"), *(codes for _, codes in selected)]).astype("<i4"),
            ids=b"".join(user for user, _ in selected),
        )

    def codes_of(self, user: str) -> np.ndarray | None:
        """Return the codes of the items of a user, int32 [T]; None without the user."""
        key = user.encode("utf-8", "replace")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._id(middle) < key else (low, middle)
        if low == len(self) or self._id(low) != key:
            return None
        return self.codes[_start(self.ends, low) : self.ends[low]]

    def _id(self, row: int) -> bytes:
        return self.ids[_start(self.id_ends, row) : int(self.id_ends[row])]

    def save(self, path: Path) -> None:
        """Write the file."""
        counts = dict(zip(_COUNTS, (len(self), len(self.codes), len(self.ids)), strict=True))
        parts = [self.ends.tobytes(), self.id_ends.tobytes(), self.codes.tobytes(), self.ids]
        path.write_bytes(b"".join([json.dumps(counts).encode(), b"\n", *parts]))

    @classmethod
    def load(cls, path: Path) -> UserHistories:
        """Read what `save` wrote; raises `OSError`, or `ValueError` for a damaged file."""
        data = path.read_bytes()
        start = data.find(b"\n", 0, _MAX_LINE_BYTES) + 1
        try:
            counts = json.loads(data[:start])
            users, items, id_bytes = (int(counts[name]) for name in _COUNTS)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"{path.name} is damaged: it does not begin with its counts") from error
        if min(users, items, id_bytes) < 0 or len(data) != start + 16 * users + 4 * items + id_bytes:
            raise ValueError(f"{path.name} is damaged: it has {len(data):,} bytes, which do not fit its counts")
        histories = cls(
            ends=np.frombuffer(data, dtype="<i8", count=users, offset=start),
            id_ends=np.frombuffer(data, dtype="<i8", count=users, offset=start + 8 * users),
            codes=np.frombuffer(data, dtype="<i4", count=items, offset=start + 16 * users),
            ids=data[len(data) - id_bytes :],
        )
        for ends, total in ((histories.ends, items), (histories.id_ends, id_bytes)):
            if (np.diff(ends, prepend=0) < 0).any() or _start(ends, users) != total:
                raise ValueError(f"{path.name} is damaged: its lengths do not add up")
        return histories


def _start(ends: np.ndarray, row: int) -> int:
    return int(ends[row - 1]) if row else 0


def complete_history(
    user: str | None, history: Sequence[str], items: Sequence[str], histories: UserHistories | None
) -> list[str]:
    """Return the items of a request, after those that are stored of its user.

    `items` are those of the model; the first one has code 2. Raises `InputError` for a user who is not stored.
    """
    if user is None:
        return list(history)
    codes = None if histories is None else histories.codes_of(user)
    if codes is None:
        unknown = f"the training data has no user {shorten(user)}"
        reason = "this model stores no histories of users" if histories is None else unknown
        hint = 'Send the items of the user instead, oldest first: {"history": ["ITEM", ...]}; [] for a new user.'
        raise InputError(reason, field="user", hint=hint)
    return [items[code - FIRST_ITEM] for code in codes.tolist()] + list(history)
