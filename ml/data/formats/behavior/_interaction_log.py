"""Who had what, and when: a log of interactions, brought into order and parted by time.

E events, U users. A model must not learn from what came later, so that every user's last item is the test, the one
before it the validation, and what came before both is learned from (leave-last-out).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.column_types.items import parse_item
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

MIN_HELD_OUT_ITEMS: Final = 3
"""Interactions of a user: one to learn from, one to validate on, one to test on."""
UNITS: Final = (
    (1e11, 1.0, "seconds"),
    (1e14, 1e3, "milliseconds"),
    (1e17, 1e6, "microseconds"),
    (1e20, 1e9, "nanoseconds"),
)
"""(less than this, a second, its name): seconds reach 1e11 in the year 5138, and milliseconds were there in 1973."""


@dataclass(slots=True)
class InteractionLog:
    """Events as they come, in compact columns; `stretches` gives them back as histories."""

    issues: IssueLog
    limits: Limits
    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    _user: list[int] = field(default_factory=list)
    _item: list[int] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)
    _place: list[tuple[int, int]] = field(default_factory=list)
    _files: list[str] = field(default_factory=list)
    _timed: int = 0
    _by_unit: dict[str, tuple[int, Location, object]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._user)

    def add(self, user: Any, item: Any, time: Any, at: Location) -> None:
        """One event; one that cannot be used becomes a finding."""
        try:
            user_name, item_name = _id(user, "user"), _id(item, "item")
            seconds = self._when(time, at)
        except DataRejected as refused:
            self.issues.record(refused, at=at, rows=1)
            return
        if len(self) >= self.limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self.limits.max_rows:,} rows")
        if not self._files or self._files[-1] != at.file:
            self._files.append(at.file or "")
        self._user.append(self.users.setdefault(user_name, len(self.users)))
        self._item.append(self.items.setdefault(item_name, len(self.items)))
        self._seconds.append(seconds)
        self._place.append((len(self._files) - 1, at.row or 0))

    def histories(self) -> Iterator[tuple[list[str], Location]]:
        """The items of one user after the other, by time; what had to be mended on the way becomes findings."""
        self._report_units()
        names = self._names()
        user, item, seconds = np.array(self._user), np.array(self._item), np.array(self._seconds)
        # Where no event has a time, all are equal, and the order of the file remains.
        order = np.lexsort((np.arange(len(user)), seconds, user))
        if self._timed:
            order = order[self._has_time(seconds)[order]]
        else:
            self.issues.add("interactions_without_time", count=len(self))
        ends = np.flatnonzero(np.diff(user[order], append=-1)) + 1
        unsorted: list[int] = []
        again: list[int] = []
        for events in np.split(order, ends[:-1]):
            earlier = np.flatnonzero(np.diff(events) < 0)
            unsorted += events[earlier[:1] + 1].tolist()
            kept = self._without_copies(events, item, seconds)
            _, firsts = np.unique(item[kept], return_index=True)
            again += np.delete(kept, firsts).tolist()
            yield [names[code] for code in item[kept].tolist()], self._at(int(kept[0]))
        self._report("interactions_sorted", unsorted)
        self._report("interactions_repeated", again)

    def _names(self) -> list[str]:
        names = _without_fractions(list(self.items))
        changed = [(old, new) for old, new in zip(self.items, names, strict=True) if old != new]
        if changed:
            self.issues.add("ids_as_floats", actual=changed[0][0], expected=changed[0][1], count=len(changed))
        return names

    def _has_time(self, seconds: np.ndarray) -> np.ndarray:
        timed = np.asarray(~np.isnan(seconds))
        self._report("timestamp_missing", np.flatnonzero(~timed).tolist(), rows=1)
        return timed

    def _without_copies(self, events: np.ndarray, item: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """The same item at the same moment is one event, written twice; at another moment it was had again."""
        if not self._timed:
            return events
        _, firsts = np.unique(np.stack([item[events].astype(np.float64), seconds[events]]), axis=1, return_index=True)
        if len(firsts) == len(events):
            return events
        self._report("interactions_duplicate", np.delete(events, firsts).tolist(), rows=1)
        return np.asarray(events[np.sort(firsts)])

    def _report(self, code: str, events: Sequence[int], *, rows: int = 0) -> None:
        shown = events[: self.issues.max_samples] or events[:1]
        for event in shown:
            self.issues.add(code, at=self._at(event), rows=rows)
        self.issues.add_more(code, len(events) - len(shown), rows=rows)

    def _at(self, event: int) -> Location:
        file, row = self._place[event]
        return Location(file=self._files[file], row=row or None)

    def _when(self, time: Any, at: Location) -> float:
        """Seconds since 1970; NaN where none is said."""
        if time is None or time == "":
            return math.nan
        seconds, unit = _seconds(time)
        count, first, found = self._by_unit.get(unit, (0, at, time))
        self._by_unit[unit] = (count + 1, first, found)
        self._timed += 1
        return seconds

    def _report_units(self) -> None:
        if len(self._by_unit) < 2:
            return
        usual = max(self._by_unit, key=lambda unit: self._by_unit[unit][0])
        for unit, (count, first, found) in self._by_unit.items():
            if unit != usual:
                told = f"{found} ({unit})"
                self.issues.add("timestamps_mixed_units", at=first, actual=told, expected=usual, count=count)


def held_out(history: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Split and row: each row's last item is what it teaches or asks."""
    if len(history) < MIN_HELD_OUT_ITEMS:
        yield "train", history
        return
    yield "train", history[:-2]
    yield "validation", history[:-1]
    yield "test", history


def _id(value: Any, what: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value == "":
        raise DataRejected(f"{what}_missing")
    return parse_item(value)


def _seconds(time: Any) -> tuple[float, str]:
    try:
        number = float(time)
    except (TypeError, ValueError):
        return _date(time), "a date"
    for below, second, unit in UNITS:
        if 0 <= number < below:
            return number / second, unit
    raise DataRejected("timestamp_invalid", actual=time, expected="seconds or milliseconds since 1970, or a date")


def _date(time: Any) -> float:
    try:
        when = time if isinstance(time, datetime) else datetime.fromisoformat(str(time).strip())
    except ValueError:
        raise DataRejected(
            "timestamp_invalid", actual=time, expected="seconds or milliseconds since 1970, or a date like 2026-11-25"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _without_fractions(names: list[str]) -> list[str]:
    """1.0 as 1, where every id is a whole number and none would become another."""
    if not any(name.endswith(".0") for name in names):
        return names
    whole = [name.removesuffix(".0") for name in names]
    fits = all(name.removeprefix("-").isdecimal() for name in whole) and len(set(whole)) == len(whole)
    return whole if fits else names
