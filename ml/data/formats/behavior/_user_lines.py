"""Lines of a user and its items, divided by blanks: `0 24 48 26`.

LightGCN and NGCF publish such files.
"""

from __future__ import annotations

import itertools
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from ml.data.files.upload import parse_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.files.upload import UploadedFile

INSPECTED_LINES: Final = 20
#: With fewer lines, ascending numbers may be a coincidence.
MIN_LINES: Final = 5
#: The largest rating; three numbers of which the last is larger are no user, item and rating.
MAX_RATING: Final = 10
#: Longer numbers are no ids.
MAX_DIGITS: Final = 18


def hold_user_lines(source: UploadedFile) -> bool:
    """Return whether a file has such lines, or pairs of a user and an item.

    It may be one of an archive.
    """
    if source.content not in ("text", "zip", "tar"):
        return False
    starts = {
        name: start.decode("utf-8", "replace").splitlines()[:-1]
        for name, start in source.text_starts.items()
        if PurePosixPath(name).suffix.lower() in (".txt", ".dat", ".data", "")
    }
    return any(are_user_lines(lines[:INSPECTED_LINES], name) or _are_pairs(lines) for name, lines in starts.items())


def _are_pairs(lines: Sequence[str]) -> bool:
    """Return whether lines are a user and an item, user by user.

    SASRec's files are such.
    """
    rows = [line.split(" ") for line in lines if line.strip()]
    if len(rows) < INSPECTED_LINES or not all(len(row) == 2 and all(map(_is_id, row)) for row in rows):
        return False
    users, items = [int(user) for user, _ in rows], [int(item) for _, item in rows]
    is_sorted = all(before <= after for before, after in itertools.pairwise(users))
    return is_sorted and 2 * len(set(users)) <= len(users) and items != sorted(items)


def are_user_lines(lines: Sequence[str], name: str) -> bool:
    """Return whether lines of whole numbers begin with ascending ones, and list items behind them.

    Equally many numbers in all lines may be a table as well, unless the file is called like a split.
    """
    rows = [line.split() for line in lines if line.strip()]
    if not all(map(_is_id, itertools.chain(*rows))) or not are_ascending([row[0] for row in rows]):
        return False
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        return True
    has_ratings = widths == {3} and all(int(row[2]) <= MAX_RATING for row in rows)
    return max(widths) > 2 and not has_ratings and parse_split(PurePosixPath(name).stem) is not None


def are_ascending(firsts: Sequence[str]) -> bool:
    """Return whether the first ids number the lines; users without items may be left out."""
    if not all(map(_is_id, firsts)):
        return False
    steps = [after - before for before, after in itertools.pairwise(map(int, firsts))]
    return bool(steps) and (all(step == 1 for step in steps) or (len(firsts) >= MIN_LINES and min(steps) > 0))


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_DIGITS
