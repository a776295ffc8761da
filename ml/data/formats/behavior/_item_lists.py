"""Lists of items: sessions, and histories of users, which may grow from row to row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ml.data.formats.behavior._interaction_log import History, InteractionLog
from ml.data.formats.behavior._log_columns import find_fields, names_session, normalize_name
from ml.data.issues import DataRejected, IssueLog, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Usual names of the column that holds all items of a session.
HISTORY_NAMES: Final = ("items", "history", "sequence", "session")
#: Usual names of a list of objects with an item and a time or an event in each.
EVENT_NAMES: Final = ("events", "interactions", "clicks", "actions", "purchases", "views")
#: Names of fields of such objects, besides those of columns: OTTO's `{"aid": 1, "ts": 2, "type": "clicks"}`.
_ELEMENT_NAMES: Final[Mapping[str, tuple[str, ...]]] = {"item": ("aid", "id"), "event": ("type",)}
#: Lists that are compared before the first of them is added.
_INSPECTED_LISTS: Final = 10_000
#: Lists that must continue an earlier one, of a user or of the row above, so that all lists grow.
_MIN_GROWING: Final = 3
_GROWING_FRACTION: Final = 0.9
#: Without a user, the first list of each user continues nothing.
_GROWING_FRACTION_OF_ROWS: Final = 0.5
#: Items of a window that moves by one item.
_MIN_WINDOW: Final = 3


class ListedEvent(NamedTuple):
    """An item of a list, with what the list says about it."""

    item: Any
    timestamp: Any = None
    event: Any = None
    rating: Any = None
    weight: Any = None


class ItemList(NamedTuple):
    """A list of items in a row of a file."""

    events: Sequence[ListedEvent]
    at: Location
    #: Id of the user or session; None without one.
    owner: Any = None
    #: Whether all lists of the owner are one history.
    is_joined: bool = False

    @property
    def items(self) -> list[Any]:
        """The items without anything else."""
        return [event.item for event in self.events]


@dataclass(slots=True)
class ItemLists:
    """Lists of one file, which become events of users, or sessions.

    In a file of histories that grow from row to row, only what is new in a row is added.
    """

    log: InteractionLog
    sessions: list[History]
    #: The split of the file; None if no file names one. Then each list is a row of its own, and none grows.
    split: str | None
    issues: IssueLog
    _pending: list[ItemList] = field(default_factory=list)
    _is_growing: bool | None = None
    #: Owner -> items of its last list, where lists grow; the last session of a file without owners has None.
    _last_items: dict[str | None, list[Any]] = field(default_factory=dict)

    def add(self, row: ItemList) -> None:
        """Add a list, or retain it until enough of them tell whether they grow."""
        if not row.events:
            self.issues.add("history_empty", at=row.at, rows=1)
        elif self.split is not None or self._is_growing is not None:
            self._add(row)
        else:
            self._pending.append(row)
            if len(self._pending) >= _INSPECTED_LISTS:
                self.flush()

    def flush(self) -> None:
        """Add all lists."""
        if self._is_growing is None:
            self._is_growing = _are_growing(self._pending)
        pending, self._pending = self._pending, []
        for row in pending:
            self._add(row)

    def _add(self, row: ItemList) -> None:
        if self._is_growing:
            self._add_growth(row)
        elif row.is_joined:
            self._add_events(row.owner, row.events, row.at)
        else:
            self._add_session(row)

    def _add_growth(self, row: ItemList) -> None:
        """Add what a list has beyond the one before it."""
        owner = _key_of(row)
        last = self._last_items.get(owner)
        tail = None if last is None else _tail(last, row.items)
        self._last_items[owner] = row.items
        if tail is not None:
            self.issues.add("history_grows", at=row.at)
        count = len(row.events) if tail is None else tail
        new = row.events[len(row.events) - count :]
        if owner is not None:
            self._add_events(owner, new, row.at)
        elif tail is None:
            self._add_session(row)
        else:
            history = self.sessions[-1]
            self.sessions[-1] = history._replace(items=[*history.items, *(event.item for event in new)])

    def _add_events(self, user: Any, events: Sequence[ListedEvent], at: Location) -> None:
        for item, timestamp, event, rating, weight in events:
            self.log.add(user, item, timestamp, at, event=event, rating=rating, weight=weight)

    def _add_session(self, row: ItemList) -> None:
        splits = None if self.split is None else [self.split]
        self.sessions.append(History(row.items, row.at, splits, is_session=True))


def to_events(items: Sequence[Any], timestamp: Any = None) -> list[ListedEvent]:
    """Return the events of a list, whose elements may be objects.

    `timestamp` is a time of the whole list, or a list with as many times as items.
    """
    times = timestamp if isinstance(timestamp, list) and len(timestamp) == len(items) else [timestamp] * len(items)
    if isinstance(timestamp, list) and times is not timestamp:
        expected = f"one time, or a list of {len(items)} times, as many as items"
        raise DataRejected("timestamp_invalid", actual=f"{len(timestamp)} times", expected=expected)
    fields = element_fields(items)
    if "item" not in fields:
        return [ListedEvent(item, time) for item, time in zip(items, times, strict=True)]
    events = []
    for element, time in zip(items, times, strict=True):
        if not isinstance(element, dict):
            raise DataRejected("history_not_a_list", actual=element, expected="an object like the first one")
        values = {name: element.get(key) for name, key in fields.items() if name in ListedEvent._fields}
        events.append(ListedEvent(**{"timestamp": time, **values}))
    return events


def element_fields(items: Any) -> dict[str, str]:
    """Return the keys of the first element of a list by field.

    They are empty if it is no object.
    """
    first = items[0] if isinstance(items, list) and items else None
    if not isinstance(first, dict):
        return {}
    names = list(first)
    fields = {name: names[position] for name, position in find_fields(names).items()}
    by_name = {normalize_name(name): name for name in reversed(names)}
    for name, aliases in _ELEMENT_NAMES.items():
        alias = next((alias for alias in aliases if alias in by_name), None)
        if name not in fields and alias is not None:
            fields[name] = by_name[alias]
    return fields


def history_key(record: Mapping[str, Any]) -> str | None:
    """Return the key of a list with a usual name of a history."""
    for key, value in record.items():
        name = normalize_name(key)
        if name in HISTORY_NAMES and _holds_items(value):
            return key
        fields = element_fields(value) if name in EVENT_NAMES else {}
        if "item" in fields and fields.keys() & {"timestamp", "event"}:
            return key
    return None


def user_key(record: Mapping[str, Any]) -> str | None:
    """Return the key of a user; an id of a session is none."""
    names = list(record)
    position = find_fields(names).get("user")
    return None if position is None or names_session(names, position) else names[position]


def session_key(names: Sequence[str]) -> str | None:
    """Return the name of a column of sessions."""
    return next((name for position, name in enumerate(names) if names_session(names, position)), None)


def parse_list(line: str) -> list[Any] | None:
    """Parse a session that is a list of items, `["one", "two"]`.

    Returns None for any other line.
    """
    if not line.startswith("["):
        return None
    try:
        items = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) and all(isinstance(item, str | int) for item in items) else None


def _holds_items(value: Any) -> bool:
    """Return whether a value is a list without lists: those are turns of a conversation."""
    return isinstance(value, list) and not any(isinstance(item, list) for item in value)


def _key_of(row: ItemList) -> str | None:
    return None if row.owner in (None, "") else str(row.owner)


def _are_growing(rows: Sequence[ItemList]) -> bool:
    """Return whether lists repeat what the list before them had, and continue it."""
    has_owners = any(_key_of(row) is not None for row in rows)
    pairs = list(_consecutive(rows))
    growing = sum((_tail(first, second) or 0) > 0 for first, second in pairs)
    fraction = _GROWING_FRACTION if has_owners else _GROWING_FRACTION_OF_ROWS
    return growing >= max(_MIN_GROWING, fraction * len(pairs))


def _consecutive(rows: Sequence[ItemList]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield the items of each two lists of an owner that follow each other."""
    last_items: dict[str | None, list[Any]] = {}
    for row in rows:
        key, items = _key_of(row), row.items
        if key in last_items:
            yield last_items[key], items
        last_items[key] = items


def _tail(earlier: Sequence[Any], later: Sequence[Any]) -> int | None:
    """Return how many items of a later list are new; None for an unrelated list.

    The later list begins with the earlier one, or both are windows of the same length.
    """
    if later[: len(earlier)] == earlier:
        return len(later) - len(earlier)
    is_window = len(later) == len(earlier) >= _MIN_WINDOW
    return 1 if is_window and later[:-1] == earlier[1:] else None
