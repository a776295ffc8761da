"""A log of interactions between users and items, sorted and split by time.

A model must not learn from later interactions, so the last item of every user is for test, the one before it for
validation, and all earlier ones are for training (leave-last-out). E events, U users.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ml.data.column_types.events import MAX_EVENTS
from ml.data.column_types.items import parse_item
from ml.data.dataset import SPLITS
from ml.data.formats.behavior._log_columns import BLANK_CELLS, parse_event, parse_signal, parse_weight
from ml.data.formats.behavior._times import ParsedTime, parse_time
from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.issues import IssueLog
    from ml.data.limits import Limits

#: Minimum interactions of a user: one each for training, validation and test.
MIN_HELD_OUT_ITEMS: Final = 3
#: Minimum interactions of a row: one to predict, and one before it.
MIN_PREDICTED_ITEMS: Final = 2
#: Items of a user that are predicted in one split, if files name the splits: each is a row with all items before it.
MAX_HELD_OUT_ITEMS: Final = 100


#: Interactions per row of the limit. An interaction has 22 bytes until all are sorted, 31 with an event, a rating and
#: a weight, and a row about 160 until it is written.
EVENTS_PER_ROW: Final = 4
#: Events that are compared at a time.
_BLOCK_EVENTS: Final = 1 << 20
#: Ratings as far as they tell whether they are marks: 0 is no interaction if all are 0 or 1.
_RATINGS: Final = ("none", "zero", "one", "other")
_NONE, _ZERO, _ONE, _OTHER = range(len(_RATINGS))
_NAN: Final = math.nan
#: The same object in both orders, so that day and month are not open.
_NO_TIME: Final = ParsedTime(_NAN, _NAN, "nothing")


class History(NamedTuple):
    """The items of a user or a session, in order."""

    items: Sequence[Any]
    #: Location of the first event.
    at: Location
    #: Split of each item, in the order of `SPLITS`; None if no file names one.
    splits: Sequence[str] | None = None
    #: Whether it is a session of one file rather than the events of a user.
    is_session: bool = False
    #: Id of the user; None for a session.
    user: str | None = None
    #: Name of the event, rating and weight of each item; None if the log has none.
    events: Sequence[str] | None = None
    ratings: Sequence[float | None] | None = None
    weights: Sequence[float | None] | None = None

    def rows(self) -> Iterator[tuple[str, int]]:
        """Yield the split of each row, and how many of the first items it has.

        The last of them is the one to predict.
        Without splits of the files the last item is for test and the one before it for validation. With them, a session
        is one row; a user has one row of all training items, and a row for each of the latest `MAX_HELD_OUT_ITEMS`
        items of a validation or test file, with the items before it.
        """
        if self.splits is None:
            yield from _split_by_time(len(self.items))
            return
        if self.is_session:
            yield self.splits[0], len(self.items)
            return
        train_count = self.splits.count(SPLITS[0])
        if train_count:
            yield SPLITS[0], train_count
        for position in self._held_out_positions():
            yield self.splits[position], position + 1

    def columns(self, end: int) -> dict[str, Any]:
        """Return the values of a row of the first `end` items by canonical column.

        They are None for what the log lacks.
        """
        parts = {"events": self.events, "ratings": self.ratings, "weights": self.weights}
        others = {name: None if values is None else list(values[:end]) for name, values in parts.items()}
        return {"history": list(self.items[:end]), "user": self.user, **others}

    @property
    def unused_count(self) -> int:
        """Number of validation and test items without a row of their own."""
        if self.splits is None or self.is_session:
            return 0
        return sum(max(0, self.splits.count(split) - MAX_HELD_OUT_ITEMS) for split in SPLITS[1:])

    def _held_out_positions(self) -> Iterator[int]:
        """Yield the positions of the items to predict, the latest of each split."""
        assert self.splits is not None, "the files name splits"
        end = self.splits.count(SPLITS[0])
        for split in SPLITS[1:]:
            start, end = end, end + self.splits.count(split)
            yield from range(max(1, start, end - MAX_HELD_OUT_ITEMS), end)

    @property
    def is_short(self) -> bool:
        """True if it has too few items for its splits."""
        return len(self.items) < (MIN_HELD_OUT_ITEMS if self.splits is None else MIN_PREDICTED_ITEMS)


class _SparseColumn:
    """Values of events, such as ratings.

    They take no memory before the first one that differs from the default.
    """

    def __init__(self, type_code: str, default: float) -> None:
        self._values: array[Any] = array(type_code)
        self._default = default

    def append(self, position: int, value: float) -> None:
        """Add the value of the event at a position."""
        if self._values or (value == value and value != self._default):
            self._values.extend([self._default] * (position - len(self._values)))
            self._values.append(value)

    def to_array(self, count: int) -> np.ndarray | None:
        """Return the values of `count` events; None if no event has any."""
        if not self._values:
            return None
        self._values.extend([self._default] * (count - len(self._values)))
        return _view(self._values, np.dtype(self._values.typecode))


@dataclass(slots=True)
class InteractionLog:
    """Events in the order of the files, in compact columns; `histories` returns them by user."""

    issues: IssueLog
    limits: Limits
    #: File -> its split, if the files name splits. Then a user's events are in the order of the splits first.
    splits: Mapping[str, str] = field(default_factory=dict)
    #: User id -> code, in the order of their first events.
    users: dict[str, int] = field(default_factory=dict)
    #: Item id -> code, likewise.
    items: dict[str, int] = field(default_factory=dict)
    _user_codes: array[int] = field(default_factory=lambda: array("i"))
    _item_codes: array[int] = field(default_factory=lambda: array("i"))
    _times: array[float] = field(default_factory=lambda: array("d"))
    #: Row of each event, 0 without one.
    _rows: array[int] = field(default_factory=lambda: array("I"))
    #: Files in the order in which they were read, and the first event of each.
    _files: list[str] = field(default_factory=list)
    _file_starts: list[int] = field(default_factory=list)
    _timed_count: int = 0
    #: Whether the mark of each event says that it is no interaction.
    _is_negative: bytearray = field(default_factory=bytearray)
    #: `_RATINGS` of each event.
    _ratings: bytearray = field(default_factory=bytearray)
    #: Name of an event -> code, in the order of their first occurrences; 0 is no name.
    event_codes: dict[str, int] = field(default_factory=lambda: {"": 0})
    #: Location of the first event beyond the limit of names; they are not used then.
    too_many_events_at: Location | None = None
    _event_column: _SparseColumn = field(default_factory=lambda: _SparseColumn("b", 0))
    _rating_column: _SparseColumn = field(default_factory=lambda: _SparseColumn("f", _NAN))
    _weight_column: _SparseColumn = field(default_factory=lambda: _SparseColumn("f", _NAN))
    #: Events whose date is another one with the day first, and that time; NaN if there is none.
    _open_events: array[int] = field(default_factory=lambda: array("q"))
    _day_first_times: array[float] = field(default_factory=lambda: array("d"))
    #: Locations of the first dates that are valid only with the month first, and only with the day first.
    _month_first_at: Location | None = None
    _day_first_at: Location | None = None
    #: Time unit -> number of events, location and timestamp of the first.
    _units: dict[str, tuple[int, Location, object]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._user_codes)

    def add(
        self,
        user: Any,
        item: Any,
        timestamp: Any,
        at: Location,
        *,
        signal: Any = None,
        rating: Any = None,
        event: Any = None,
        weight: Any = None,
        milliseconds: Any = None,
    ) -> None:
        """Add one event; an invalid one becomes an issue.

        A `signal` of 0 marks what a user did not take; ratings are marks if all of them are 0 or 1. `event` is the name
        of what the user did. `milliseconds` are added to the time.

        Raises `DataRejected` above the limit of rows.
        """
        try:
            user_id, item_id = _parse_id(user, "user"), _parse_id(item, "item")
            mark = parse_signal(signal)
            event_name, event_weight = parse_event(event), parse_weight(weight)
            time = _add_milliseconds(self._read_time(timestamp, at), milliseconds)
        except DataRejected as rejection:
            self.issues.record(rejection, at=at, rows=1)
            return
        if len(self) >= EVENTS_PER_ROW * self.limits.max_rows:
            expected = f"at most {EVENTS_PER_ROW * self.limits.max_rows:,} interactions, {EVENTS_PER_ROW} a row"
            raise DataRejected("too_many_rows", expected=expected)
        if not self._files or self._files[-1] != at.file:
            self._files.append(at.file or "")
            self._file_starts.append(len(self))
        self._event_column.append(len(self), self._encode_event(event_name, at))
        self._rating_column.append(len(self), _to_number(rating))
        self._weight_column.append(len(self), event_weight)
        self._user_codes.append(self.users.setdefault(user_id, len(self.users)))
        self._item_codes.append(self.items.setdefault(item_id, len(self.items)))
        if time.is_open:
            self._note_open_time(time, at)
        # A date that is none with the month first is read with the day first, or rejected, in `_resolve_dates`.
        self._times.append(math.inf if time.month_first is None else time.month_first)
        self._is_negative.append(mark is not None and mark <= 0)
        self._ratings.append(_to_rating(rating))
        self._rows.append(at.row or 0)

    def histories(self) -> Iterator[History]:
        """Yield the items of each user by time, or by split and time.

        What is repaired on the way becomes an issue.
        """
        self._report_units()
        names = self._item_names()
        users, items = _view(self._user_codes, np.int32), _view(self._item_codes, np.int32)
        times, splits = self._resolve_dates(), self._event_splits()
        # The sort is stable: without timestamps all times are equal, and the order of the file remains.
        order = np.lexsort((times, users) if splits is None else (times, splits, users))
        order = _select(order, self._is_taken())
        events_of, ratings_of, weights_of = self._value_columns()
        event_names = list(self.event_codes)
        user_ids = list(self.users)
        if not len(order):
            return
        if self._timed_count:
            order = _select(order, self._has_time(times))
        else:
            self.issues.add("interactions_without_time", count=len(self))
        ordered_users = users[order]
        ends = [*(np.flatnonzero(ordered_users[1:] != ordered_users[:-1]) + 1).tolist(), len(order)]
        del ordered_users
        self._report_ties(order, users, times)
        unsorted_events, repeated_events = array("q"), list[int]()
        repeated_count = merged_count = 0
        for start, end in pairwise([0, *ends]):
            events = order[start:end]
            descents = np.flatnonzero(np.diff(events) < 0)
            unsorted_events.extend(events[descents[:1] + 1].tolist())
            unique_events = self._drop_duplicates(events, items, times, events_of)
            if events_of is not None:
                retained = _merge_repetitions(unique_events, items, events_of, splits)
                merged_count += len(unique_events) - len(retained)
                unique_events = retained
            _, first_occurrences = np.unique(items[unique_events], return_index=True)
            repeated = np.delete(unique_events, first_occurrences)
            repeated_count += len(repeated)
            repeated_events.extend(repeated[: max(1, self.issues.max_samples) - len(repeated_events)].tolist())
            yield History(
                [names[code] for code in items[unique_events].tolist()],
                self._location(int(unique_events[0])),
                None if splits is None else [SPLITS[code] for code in splits[unique_events].tolist()],
                user=user_ids[int(users[unique_events[0]])],
                events=None if events_of is None else [event_names[code] for code in events_of[unique_events].tolist()],
                ratings=_to_numbers(ratings_of, unique_events),
                weights=_to_numbers(weights_of, unique_events),
            )
        if merged_count:
            self.issues.add("events_merged", count=merged_count)
        self._report("interactions_sorted", unsorted_events)
        self._report("interactions_repeated", repeated_events, count=repeated_count)

    @property
    def has_binary_ratings(self) -> bool:
        """True if all ratings are 0 or 1, so that 0 is no interaction."""
        counts = np.bincount(_view(self._ratings, np.uint8), minlength=len(_RATINGS))
        return bool(counts[_ZERO] and counts[_ONE] and not counts[_OTHER])

    def _encode_event(self, name: str, at: Location) -> int:
        code = self.event_codes.get(name)
        if code is not None:
            return code
        if len(self.event_codes) > MAX_EVENTS:
            self.too_many_events_at = self.too_many_events_at or at
            return 0
        return self.event_codes.setdefault(name, len(self.event_codes))

    def _value_columns(self) -> tuple[np.ndarray | None, ...]:
        """Return codes of events, ratings and weights, [E] each; None without any."""
        events = self._event_column.to_array(len(self))
        if self.too_many_events_at is not None:
            actual, expected = f"more than {MAX_EVENTS} different values", f"at most {MAX_EVENTS} names of events"
            self.issues.add("events_not_used", at=self.too_many_events_at, actual=actual, expected=expected)
            events = None
        ratings = None if self.has_binary_ratings else self._rating_column.to_array(len(self))
        return events, ratings, self._weight_column.to_array(len(self))

    def _is_taken(self) -> np.ndarray:
        """Return a mask of the events that are interactions, bool [E].

        Marks of 0 become issues.
        """
        is_taken = _view(self._is_negative, np.uint8) == 0
        if self.has_binary_ratings:
            is_taken &= _view(self._ratings, np.uint8) != _ZERO
        self._report("interactions_negative", np.flatnonzero(~is_taken), rows=1)
        return np.asarray(is_taken)

    def _note_open_time(self, time: ParsedTime, at: Location) -> None:
        if time.day_first is None:
            self._month_first_at = self._month_first_at or at
        if time.month_first is None:
            self._day_first_at = self._day_first_at or at
        self._open_events.append(len(self._times))
        self._day_first_times.append(math.inf if time.day_first is None else time.day_first)

    def _resolve_dates(self) -> np.ndarray:
        """Return the times, float64 [E], with day and month of all dates in one order.

        A date that has a month above 12 in one order decides for the other. Without any, the month is first.
        """
        times = _view(self._times, np.float64)
        if not len(self._open_events):
            return times
        times = times.copy()
        if self._day_first_at and self._month_first_at:
            actual = "a date with the day first, others have the month first"
            self.issues.add("timestamp_invalid", at=self._day_first_at, actual=actual, expected="one order", rows=1)
            times[np.isinf(times)] = math.nan
        elif self._day_first_at:
            times[np.array(self._open_events)] = np.array(self._day_first_times)
        elif self._month_first_at is None:
            at = self._location(self._open_events[0])
            self.issues.add("times_ambiguous", at=at, count=len(self._open_events), expected="the month first")
        return times

    def _report_ties(self, order: np.ndarray, users: np.ndarray, times: np.ndarray) -> None:
        """Report events of one user at one time.

        Their order is that of the files.
        """
        if not self._timed_count:
            return
        is_tied = np.zeros(len(order), dtype=bool)
        for start in range(0, len(order), _BLOCK_EVENTS):
            block = order[start : start + _BLOCK_EVENTS + 1]
            follows = (np.diff(users[block]) == 0) & (np.diff(times[block]) == 0)
            is_tied[start : start + len(follows)] |= follows
            is_tied[start + 1 : start + 1 + len(follows)] |= follows
        if count := int(is_tied.sum()):
            actual = f"{count / len(order):.1%} of {len(order):,} interactions"
            at = self._location(int(order[is_tied.argmax()]))
            self.issues.add("times_equal", at=at, actual=actual, count=count)

    def _event_splits(self) -> np.ndarray | None:
        """Return the splits of the events, int8 [E] into `SPLITS`; None without any.

        It is 0 if the file of the event names none.
        """
        if not self.splits:
            return None
        of_files = np.array([SPLITS.index(self.splits.get(file, SPLITS[0])) for file in self._files], dtype=np.int8)
        return np.repeat(of_files, np.diff([*self._file_starts, len(self)]))

    def _item_names(self) -> list[str]:
        names = drop_fractions(list(self.items))
        changes = [(old, new) for old, new in zip(self.items, names, strict=True) if old != new]
        if changes:
            self.issues.add("ids_as_floats", actual=changes[0][0], expected=changes[0][1], count=len(changes))
        return names

    def _has_time(self, times: np.ndarray) -> np.ndarray:
        """Return a mask of the events with a timestamp, bool [E]; the others become issues."""
        has_time = np.asarray(~np.isnan(times))
        self._report("timestamp_missing", np.flatnonzero(~has_time), rows=1)
        return has_time

    def _drop_duplicates(
        self, events: np.ndarray, items: np.ndarray, times: np.ndarray, events_of: np.ndarray | None
    ) -> np.ndarray:
        """Drop events with item, time and name of an earlier one.

        The same item at another time is a new event.
        """
        if not self._timed_count:
            return events
        names = np.zeros(len(events)) if events_of is None else events_of[events].astype(np.float64)
        pairs = np.stack([items[events].astype(np.float64), times[events], names])
        _, first_occurrences = np.unique(pairs, axis=1, return_index=True)
        if len(first_occurrences) == len(events):
            return events
        self._report("interactions_duplicate", np.delete(events, first_occurrences).tolist(), rows=1)
        return np.asarray(events[np.sort(first_occurrences)])

    def _report(
        self, code: str, events: Sequence[int] | np.ndarray, *, rows: int = 0, count: int | None = None
    ) -> None:
        samples = events[: max(1, self.issues.max_samples)]
        for event in samples:
            self.issues.add(code, at=self._location(int(event)), rows=rows)
        self.issues.add_more(code, (len(events) if count is None else count) - len(samples), rows=rows)

    def _location(self, event: int) -> Location:
        file = self._files[bisect_right(self._file_starts, event) - 1]
        return Location(file=file, row=self._rows[event] or None)

    def _read_time(self, timestamp: Any, at: Location) -> ParsedTime:
        """Return seconds since 1970; NaN for an event without a timestamp."""
        if timestamp is None or timestamp == "":
            return _NO_TIME
        time = parse_time(timestamp)
        count, first_at, first_timestamp = self._units.get(time.unit, (0, at, timestamp))
        self._units[time.unit] = (count + 1, first_at, first_timestamp)
        self._timed_count += 1
        return time

    def _report_units(self) -> None:
        if len(self._units) < 2:
            return
        usual_unit = max(self._units, key=lambda unit: self._units[unit][0])
        for unit, (count, at, timestamp) in self._units.items():
            if unit != usual_unit:
                actual = f"{timestamp} ({unit})"
                self.issues.add("timestamps_mixed_units", at=at, actual=actual, expected=usual_unit, count=count)


def _split_by_time(items: int) -> Iterator[tuple[str, int]]:
    """Yield the split of each row, and how many of the first items it has."""
    if items < MIN_HELD_OUT_ITEMS:
        yield "train", items
        return
    yield "train", items - 2
    yield "validation", items - 1
    yield "test", items


def _merge_repetitions(
    events: np.ndarray, items: np.ndarray, events_of: np.ndarray, splits: np.ndarray | None
) -> np.ndarray:
    """Merge consecutive events with the same item into a single event.

    It is that of the rarest name in the log, and of several the last one: of view and purchase, the purchase.
    """
    is_new = np.diff(items[events]) != 0
    if splits is not None:
        is_new |= np.diff(splits[events]) != 0
    if is_new.all():
        return events
    counts = np.bincount(events_of)
    retained = []
    for run in np.split(events, np.flatnonzero(is_new) + 1):
        rarity = counts[events_of[run]][::-1]
        retained.append(run[len(run) - 1 - int(rarity.argmin())])
    return np.array(retained)


def _to_numbers(values: np.ndarray | None, events: np.ndarray) -> list[float | None] | None:
    """Return values of events, None for a missing one; None without any values."""
    if values is None:
        return None
    return [None if math.isnan(value) else round(value, 6) for value in values[events].tolist()]


def _to_number(cell: Any) -> float:
    """Return a rating as a number; NaN for none."""
    try:
        rating = float(cell)
    except (TypeError, ValueError):
        return _NAN
    return rating if math.isfinite(rating) else _NAN


def _to_rating(cell: Any) -> int:
    """Return which of `_RATINGS` a rating is."""
    rating = _to_number(cell)
    return _NONE if math.isnan(rating) else _ZERO if rating == 0 else _ONE if rating == 1 else _OTHER


def _view(values: array[Any] | bytearray, dtype: Any) -> np.ndarray:
    """Return the values as an array that shares their memory."""
    return np.frombuffer(values, dtype=dtype) if len(values) else np.empty(0, dtype=dtype)


def _select(order: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the events of `order` that a mask selects."""
    return order if mask.all() else order[mask[order]]


def _add_milliseconds(time: ParsedTime, milliseconds: Any) -> ParsedTime:
    """Return a later time; raises `DataRejected` unless `milliseconds` are a number or blank."""
    if milliseconds is None or str(milliseconds).strip().lower() in BLANK_CELLS:
        return time
    seconds = _to_number(milliseconds) / 1_000
    if math.isnan(seconds):
        raise DataRejected("timestamp_invalid", actual=milliseconds, expected="milliseconds after the time of the row")
    first, second = time.month_first, time.day_first
    is_open = time.is_open
    later = None if first is None else first + seconds
    # The same object in both orders says that day and month are not open.
    return time._replace(
        month_first=later, day_first=(None if second is None else second + seconds) if is_open else later
    )


def _parse_id(value: Any, field_name: str) -> str:
    is_blank = value is None or (isinstance(value, float) and math.isnan(value)) or value == ""
    if is_blank or (field_name == "user" and str(value).strip().lower() in BLANK_CELLS):
        raise DataRejected(f"{field_name}_missing")
    return parse_item(value)


def drop_fractions(names: list[str]) -> list[str]:
    """Write 1.0 as 1, if all ids are whole numbers and stay different."""
    if not any(name.endswith(".0") for name in names):
        return names
    whole_names = [name.removesuffix(".0") for name in names]
    is_lossless = all(name.removeprefix("-").isdecimal() for name in whole_names)
    return whole_names if is_lossless and len(set(whole_names)) == len(whole_names) else names
