"""Columns of a log of interactions: user, item, time, event, weight, mark, list of items."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.events import MAX_EVENT_CHARACTERS
from ml.data.formats.behavior._times import is_time
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Fields in the order of logs without column names.
FIELDS: Final = ("user", "item", "rating", "timestamp")
#: Field -> usual names of its column, in lower case and without characters other than a to z.
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "user": (
        *("user", "userid", "uid", "customer", "customerid", "visitor", "visitorid", "session", "sessionid"),
        *("reviewerid", "member", "memberid", "account", "accountid", "client", "clientid", "buyer", "buyerid"),
        *("username", "person", "personid", "player", "playerid", "student", "studentid", "device", "deviceid"),
    ),
    "item": (
        *("item", "itemid", "iid", "movie", "movieid", "product", "productid", "film", "filmid", "article"),
        *("articleid", "song", "songid", "track", "trackid", "book", "bookid", "isbn", "asin", "parentasin"),
        *("sku", "video", "videoid", "news", "newsid", "game", "gameid", "artist", "artistid", "recipe", "recipeid"),
        *("business", "businessid", "stockcode", "course", "courseid", "content", "contentid", "goodsid", "adid"),
    ),
    "rating": ("rating", "ratings", "score", "stars", "bookrating", "value"),
    "timestamp": (
        *("timestamp", "time", "ts", "date", "datetime", "unixtime", "createdat", "eventtime", "unixreviewtime"),
        *("timestampms", "eventdate", "reviewtime", "invoicedate", "orderdate", "timestamps", "times"),
    ),
    #: Milliseconds after the time of the row, which may be a day.
    "milliseconds": ("timeframe",),
    #: What the user did: view, click, purchase.
    "event": (
        *("event", "eventtype", "eventname", "behavior", "behaviour", "behaviortype", "behaviourtype"),
        *("action", "actiontype", "interaction", "interactiontype"),
    ),
    "weight": ("weight", "weights", "strength", "confidence"),
    #: All items before the one of the row, as RecBole's files for splits have them.
    "history": ("itemidlist", "itemlist", "itemids", "items", "history", "sequence"),
    #: A mark that says whether the user took the item: 0 is no interaction.
    "signal": (
        *("click", "clicked", "isclick", "isclicked", "clicks", "label", "liked", "like", "islike", "isliked"),
        *("purchased", "purchase", "ispurchase", "ispurchased", "bought", "isbought", "buy", "isbuy", "conversion"),
        *("converted", "isconverted", "positive", "ispositive", "watched", "iswatched", "interacted", "target"),
    ),
}
#: Names of the item that follows a history.
NEXT_ITEM_NAMES: Final = ("target", "targetitem", "targetid", "nextitem", "nextitemid", "next", "labelitem")
#: Columns of users that are preferred to another one if that is blank.
SESSION_NAMES: Final = ("session", "sessionid", "visitor", "visitorid")
#: Cells that stand for no value.
BLANK_CELLS: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "\\n", "-"})
#: Largest weight of an interaction.
MAX_WEIGHT: Final = 1_000_000
_NO: Final = frozenset({"false", "no", "n", "f"})
_YES: Final = frozenset({"true", "yes", "y", "t"})
_NUMBER_NAME: Final = re.compile(r".*(id|nr|no|number|code|count|price|amount|quantity)")
_RATING_NAMES: Final = frozenset({"rating", "ratings", "stars"})
_SEPARATORS: Final = re.compile(r"[\s,;|]+")


@dataclass(frozen=True, slots=True)
class LogLayout:
    """Positions, from 0, of the fields in a row, and all column names."""

    positions: Mapping[str, int]
    names: tuple[str, ...]
    has_header: bool

    @property
    def unread(self) -> list[str]:
        """Names of the columns that hold no field."""
        return [name for index, name in enumerate(self.names) if index not in self.positions.values()]


def normalize_name(name: str) -> str:
    """Convert both `userId` and `user_id:token` (as RecBole writes it) to `userid`."""
    return re.sub(r"[^a-z]", "", name.partition(":")[0].lower())


def find_fields(names: Sequence[str]) -> dict[str, int]:
    """Return the position of each field whose column has a usual name."""
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        positions.setdefault(normalize_name(str(name)), position)
    fields = {
        field: next(positions[alias] for alias in aliases if alias in positions)
        for field, aliases in ALIASES.items()
        if any(alias in positions for alias in aliases)
    }
    ids = [position for name, position in positions.items() if name.endswith("id") and position != fields.get("user")]
    if "user" in fields and "item" not in fields and positions.keys() & _RATING_NAMES and len(ids) == 1:
        fields["item"] = ids[0]  # what a user rates, such as anime_id
    return fields


def names_session(names: Sequence[str], position: int | None) -> bool:
    """Return whether the column at a position has ids of sessions."""
    return position is not None and normalize_name(names[position]) in SESSION_NAMES


def refine_layout(layout: LogLayout, rows: Sequence[Sequence[Any]], requested: Mapping[str, Any]) -> LogLayout:
    """Choose columns by their first cells, where names do not decide.

    A column of times may have any name, a session takes the place of a user that is blank, and marks are 0 or 1.
    """
    positions = dict(layout.positions)
    columns = [list(column) for column in zip(*(row for row in rows if len(row) == len(layout.names)), strict=True)]
    if not columns:
        return layout
    if "signal" in positions and "signal" not in requested and not _are_marks(columns[positions["signal"]]):
        del positions["signal"]
    if "milliseconds" in positions and not all(map(_is_number, _without_blanks(columns[positions["milliseconds"]]))):
        del positions["milliseconds"]  # such as morning and evening
    if "history" in positions and "history" not in requested and not _are_lists(columns[positions["history"]]):
        del positions["history"]
    if "history" in positions and "item" not in positions:
        named = [index for index, name in enumerate(layout.names) if normalize_name(str(name)) in NEXT_ITEM_NAMES]
        if named and not _are_marks(columns[named[0]]):
            positions["item"] = named[0]
    if "user" in positions and "user" not in requested and _are_blank(columns[positions["user"]]):
        sessions = [index for index in range(len(layout.names)) if names_session(layout.names, index)]
        positions["user"] = next((index for index in sessions if not _are_blank(columns[index])), positions["user"])
    if "history" in positions and "user" not in requested and names_session(layout.names, positions.get("user")):
        # A session is one list, where lists of a user are one history.
        positions["session"] = positions.pop("user")
    if "timestamp" not in positions and layout.has_header:
        free = [index for index in range(len(columns)) if index not in positions.values()]
        times = [index for index in free if _are_times(layout.names[index], columns[index])]
        positions |= {"timestamp": times[0]} if times else {}
    return replace(layout, positions=positions)


def parse_signal(cell: Any) -> float | None:
    """Return a mark or rating as a number; None for a blank one.

    Raises `DataRejected` for anything else.
    """
    text = "" if cell is None else str(cell).strip().lower()
    if text in BLANK_CELLS:
        return None
    if text in _NO or text in _YES:
        return float(text in _YES)
    try:
        return float(text)
    except ValueError:
        raise DataRejected("signal_invalid", actual=cell, expected="0 or 1") from None


def parse_event(cell: Any) -> str:
    """Return the name of an event in lower case; "" for a blank cell.

    1.0 is read as 1. Raises `DataRejected` for a long text or a value that is no name.
    """
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    name = "" if cell is None else str(cell).strip().lower()
    if isinstance(cell, list | dict) or len(name) > MAX_EVENT_CHARACTERS:
        expected = f"a name of at most {MAX_EVENT_CHARACTERS} characters, such as view"
        raise DataRejected("event_invalid", actual=cell, expected=expected)
    return "" if name in BLANK_CELLS else name


def parse_weight(cell: Any) -> float:
    """Return a weight; NaN for a blank cell.

    Raises `DataRejected` for a number below 0, and for anything else.
    """
    if cell is None or str(cell).strip().lower() in BLANK_CELLS:
        return math.nan
    try:
        weight = float(cell)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight <= MAX_WEIGHT:
        raise DataRejected("weight_invalid", actual=cell, expected=f"a number from 0 to {MAX_WEIGHT:,}")
    return weight


def parse_items(cell: Any) -> list[Any]:
    """Return the items of a cell.

    It is a list, JSON of one, or names divided by blanks, commas or bars.
    """
    if isinstance(cell, list):
        return cell
    text = "" if cell is None else str(cell).strip()
    if text.startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            items = _SEPARATORS.split(text.strip("[]"))
        return [item for item in items if item != ""]
    return [item for item in _SEPARATORS.split(text) if item]


def _are_marks(cells: Sequence[Any]) -> bool:
    try:
        values = {parse_signal(cell) for cell in cells}
    except DataRejected:
        return False
    return values <= {0.0, 1.0, None}


def _are_lists(cells: Sequence[Any]) -> bool:
    """Return whether any cell holds several items, and none a sentence."""
    lists = [parse_items(cell) for cell in cells]
    return any(len(items) > 1 for items in lists)


def holds_ids(cell: Any) -> bool:
    """Return whether a cell is a list of ids with digits, which no sentence is."""
    items = [str(item) for item in parse_items(cell)]
    return len(items) > 1 and all(re.search(r"\d", item) for item in items)


def _are_blank(cells: Sequence[Any]) -> bool:
    blank = sum(cell is None or str(cell).strip().lower() in BLANK_CELLS for cell in cells)
    return 2 * blank > len(cells)


def _are_times(name: str, cells: Sequence[Any]) -> bool:
    values = [cell for cell in cells if cell is not None and str(cell).strip()]
    if not values or not all(map(is_time, values)):
        return False
    return not (_NUMBER_NAME.fullmatch(normalize_name(name)) and all(_is_number(value) for value in values))


def _without_blanks(cells: Sequence[Any]) -> list[Any]:
    return [cell for cell in cells if cell is not None and str(cell).strip().lower() not in BLANK_CELLS]


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True
