"""Recommendation datasets: slices of MovieLens, and random walks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.tasks.recipes.case import Case

#: User, item and time of an interaction.
Interaction = tuple[str, str, int]
YEAR_2000: Final = 946_684_800
SECONDS_PER_YEAR: Final = 31_556_952
ITEMS: Final = 60


def ratings(data: Path) -> Iterator[tuple[Interaction, float]]:
    """Yield all ratings of MovieLens."""
    with (data / "movielens-latest-small" / "ratings.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield (row["userId"], row["movieId"], int(row["timestamp"])), float(row["rating"])


def genre(data: Path, *, name: str, users: int) -> Iterator[Interaction]:
    """Ratings of films of one genre."""
    with (data / "movielens-latest-small" / "movies.csv").open(newline="", encoding="utf-8") as file:
        films = {row["movieId"] for row in csv.DictReader(file) if name in row["genres"].split("|")}
    rows = [interaction for interaction, _ in ratings(data) if interaction[1] in films]
    return _of_users(rows, users)


def period(data: Path, *, first: int, last: int, users: int) -> Iterator[Interaction]:
    """Ratings of some years."""
    begin, end = ((year - 2000) * SECONDS_PER_YEAR + YEAR_2000 for year in (first, last + 1))
    return _of_users([row for row, _ in ratings(data) if begin <= row[2] < end], users)


def walks(_: Path) -> Iterator[Interaction]:
    """Random walks of 200 users over 60 items.

    The next item depends on the last, and on the taste of the user.
    """
    rng = np.random.default_rng(0)
    successors = rng.integers(ITEMS, size=(3, ITEMS, 2))
    for user in range(200):
        taste, item = rng.integers(3), int(rng.integers(ITEMS))
        for time in range(int(rng.integers(8, 20))):
            yield f"u{user}", f"i{item}", time
            item = int(rng.choice(successors[taste, item])) if rng.random() < 0.7 else int(rng.integers(ITEMS))


def _of_users(rows: list[Interaction], count: int) -> Iterator[Interaction]:
    """Yield at most a hundred rows of each of some users.

    Items with fewer than three rows are left out.
    """
    users = list(dict.fromkeys(user for user, _, _ in rows))
    chosen = {users[number] for number in np.random.default_rng(0).permutation(len(users))[:count]}
    rows = sorted((row for row in rows if row[0] in chosen), key=lambda row: row[2])
    lengths: dict[str, int] = {}
    items: dict[str, int] = {}
    for _, item, _ in rows:
        items[item] = items.get(item, 0) + 1
    for row in rows:
        lengths[row[0]] = lengths.get(row[0], 0) + 1
        if lengths[row[0]] <= 100 and items[row[1]] >= 3:
            yield row


def _write(make: Callable[[Path], Iterator[Interaction]], folder: Path, data: Path) -> list[Path]:
    with (folder / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "timestamp"), *make(data)])
    return [folder / "log.csv"]


def _case(make: Callable[[Path], Iterator[Interaction]]) -> Case:
    return Case("recommendation", "recommendation", "hit_rate_at_10", partial(_write, make), reports_simple_model=True)


CASES: Final[Mapping[str, Case]] = {
    "comedies": _case(partial(genre, name="Comedy", users=300)),
    "science_fiction": _case(partial(genre, name="Sci-Fi", users=300)),
    "films_to_2002": _case(partial(period, first=1996, last=2002, users=300)),
    "films_from_2015": _case(partial(period, first=2015, last=2018, users=300)),
    "walks": _case(walks),
}
