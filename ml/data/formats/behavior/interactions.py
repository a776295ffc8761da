"""Logs of who had what: MovieLens in all its layouts, tables of user and item, sessions of items."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.files.archives import list_members, read_members
from ml.data.files.text import open_text, read_lines
from ml.data.files.upload import ExtractedFile
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.formats.behavior._interaction_log import MIN_HELD_OUT_ITEMS, InteractionLog, held_out
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits
from ml.data.locations import Locations
from ml.data.tables.cells import is_number
from ml.data.tables.column_aliases import ALIASES as COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

FIELDS: Final = ("user", "item", "rating", "timestamp")
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "user": (
        "user",
        "userid",
        "uid",
        "customer",
        "customerid",
        "visitor",
        "visitorid",
        "session",
        "sessionid",
        "reviewerid",
    ),
    "item": (
        *("item", "itemid", "iid", "movie", "movieid", "product", "productid", "film", "filmid", "article"),
        *("articleid", "song", "songid", "track", "trackid", "book", "bookid", "isbn", "asin", "parentasin"),
    ),
    "rating": ("rating", "ratings", "score", "stars", "bookrating", "value"),
    "timestamp": (
        "timestamp",
        "time",
        "ts",
        "date",
        "datetime",
        "unixtime",
        "createdat",
        "eventtime",
        "unixreviewtime",
    ),
}
"""What columns are called, in lower case and without anything but letters."""
HISTORY: Final = ("items", "history", "sequence", "session")
"""What the list of a session is called."""
LOG_NAMES: Final = re.compile(
    r"(ratings?|u\.data|interactions?|events?|reviews?|transactions?|sessions?)\b", re.IGNORECASE
)
"""Files that hold the log, where other files lie beside it."""
MOVIELENS: Final = frozenset({"ratings.csv", "ratings.dat", "u.data"})
TABLES: Final = frozenset({".csv", ".tsv", ".dat", ".data", ".inter", ".txt", ".jsonl", ".ndjson", ".json", ".parquet"})
DELIMITERS: Final = ("::", "\t", ",", ";", "|")
LARGEST_FOOTER_STRING: Final = 16 << 20
LOOKED_AT: Final = 20
SURE: Final = 2.0
OLDEST: Final = 1e8
"""Of three columns without names the last is a time if it is larger than this (1973 in seconds), else a rating."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the fields stand in a row, from 0, and what the file calls them."""

    of: Mapping[str, int]
    names: tuple[str, ...]
    has_header: bool


class Interactions(Format):
    """Every row a user and an item, perhaps a rating and a time; or every line a whole history.

    Users are parted by time, and not by chance: the last item of each is the test, the one before it the validation.
    """

    name = "interactions"
    summary = (
        "user, item and perhaps rating and timestamp in CSV, TSV, Parquet or JSONL, with MovieLens's layouts and zips "
        'of them; or sessions, a line each: {"items": [...]} or [...]. Each user\'s last items are held out'
    )
    columns: ClassVar[Mapping[str, str]] = {"history": "items"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text", "json", "parquet", "zip", "tar"})
    has_columns = True
    split_rule = "by time: the last item of each user is for test, the one before it for validation"

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """What is wanted decides; where that was not said, columns that name a user and an item do."""
        share = super().detect(sources, wanted)
        if wanted is not None:
            return share * SURE
        return SURE if any(_names_log(source) for source in sources if source.content in cls.accepted_content) else 0

    def read(self) -> Iterator[Batch]:
        """All files together are one log: a user may be in several of them."""
        log = InteractionLog(self.issues, self.limits)
        sessions: list[tuple[list[Any], Location]] = []
        unknown = sorted(self.requested_columns.keys() - {*FIELDS, "history"})
        if unknown:
            raise DataRejected("invalid_columns", actual=", ".join(unknown), expected=", ".join((*FIELDS, "history")))
        for source in self._logs():
            try:
                if source.content == "parquet":
                    self._read_parquet(source, log)
                elif source.content == "json" or self._holds_lists(source):
                    self._read_json(source, log, sessions)
                else:
                    self._read_table(source, log)
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=source.name))
        yield from self._batches(itertools.chain(log.histories() if len(log) else (), sessions))

    def _batches(self, histories: Iterator[tuple[list[Any], Location]]) -> Iterator[Batch]:
        waiting: dict[str, list[tuple[list[Any], Location]]] = {}
        short: list[Location] = []
        learned: set[str] = set()
        asked: dict[str, Location] = {}
        for history, place in histories:
            if len(history) < MIN_HELD_OUT_ITEMS:
                short.append(place)
            for split, row in held_out(history):
                if split == "train":
                    learned.update(map(str, row))
                else:
                    asked.setdefault(str(row[-1]), place)
                held = waiting.setdefault(split, [])
                held.append((list(row), place))
                if len(held) >= ROWS_PER_BATCH:
                    yield _batch(waiting.pop(split), split)
        for split, held in waiting.items():
            yield _batch(held, split)
        for item, place in asked.items():
            if item not in learned:
                self.issues.add("items_not_in_training", at=place, actual=item, expected="an item of training rows")
        for place in short:
            expected = f"at least {MIN_HELD_OUT_ITEMS} interactions"
            self.issues.add("history_short", at=place, expected=expected)

    def _logs(self) -> list[UploadedFile]:
        """The files that hold interactions; what lies beside them (titles, tags) is left out, and told."""
        found: list[UploadedFile] = []
        for source in self.sources:
            if source.content in ("zip", "tar"):
                found += self._in_archive(source)
            else:
                found.append(source)
        named = [source for source in found if LOG_NAMES.match(PurePosixPath(source.name).name)]
        if not named or len(named) == len(found):
            return found
        for source in found:
            if source not in named:
                self.issues.add("file_not_a_log", at=Location(file=source.name))
        return named

    def _in_archive(self, source: UploadedFile) -> list[UploadedFile]:
        try:
            listed = list_members(source, self.issues, self.limits)
        except DataRejected as refused:
            self.issues.record(refused, at=Location(file=source.name))
            return []
        tables = [member.file for member in listed if PurePosixPath(member.file).suffix.lower() in TABLES]
        logs = [file for file in tables if LOG_NAMES.match(PurePosixPath(file).name)] or tables
        for member in listed:
            if member.file not in logs:
                self.issues.add("file_not_a_log", at=Location(file=member.file))
        if not logs:
            self.issues.add("no_log_in_archive", at=Location(file=source.name))
        held: list[UploadedFile] = []
        for file, data in read_members(source, logs, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file))
            else:
                held.append(ExtractedFile(file, source.path, data=data))
        return held

    def _holds_lists(self, source: UploadedFile) -> bool:
        with open_text(source, IssueLog(max_samples=0), self.limits) as text:
            return _as_list(next((line for line in read_lines(text) if line.strip()), "")) is not None

    def _read_table(self, source: UploadedFile, log: InteractionLog) -> None:
        with open_text(source, self.issues, self.limits) as text:
            start = [line for line in itertools.islice(read_lines(text), LOOKED_AT) if line.strip()]
        if not start:
            raise DataRejected("empty_file")
        delimiter = _delimiter(start)
        positions = self._positions(source, [_cells(line, delimiter) for line in start])
        with open_text(source, self.issues, self.limits) as text:
            self._read_rows(source, text, delimiter, positions, log)

    def _read_rows(
        self, source: UploadedFile, text: IO[str], delimiter: str, positions: Positions, log: InteractionLog
    ) -> None:
        width = len(positions.names)
        user, item, time = (positions.of.get(each) for each in ("user", "item", "timestamp"))
        assert user is not None, "found, or refused"
        assert item is not None, "found, or refused"
        row = 0
        header = positions.has_header
        for line, cells in _records(text, delimiter):
            if not cells:
                continue
            if header:
                header = False
                continue
            row += 1
            at = Location(file=source.name, line=line, row=row)
            if len(cells) != width:
                self.issues.add("ragged_row", at=at, actual=f"{len(cells)} cells", expected=f"{width}", rows=1)
                continue
            log.add(cells[user].strip(), cells[item].strip(), None if time is None else cells[time].strip(), at)

    def _read_parquet(self, source: UploadedFile, log: InteractionLog) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if source.compression:
            raise DataRejected(
                "unsupported_file", actual=f"Parquet inside {source.compression}", expected="uncompressed Parquet"
            )
        try:
            held = io.BytesIO(source.data) if isinstance(source, ExtractedFile) else source.path
            with pq.ParquetFile(held, thrift_string_size_limit=LARGEST_FOOTER_STRING) as file:
                if file.metadata.num_rows > self.limits.max_rows:
                    expected = f"at most {self.limits.max_rows:,} rows"
                    raise DataRejected("too_many_rows", actual=f"{file.metadata.num_rows:,} rows", expected=expected)
                positions = self._positions(source, [list(file.schema_arrow.names)])
                chosen = {field: positions.names[index] for field, index in positions.of.items() if field != "rating"}
                row = 0
                for batch in file.iter_batches(columns=list(chosen.values()), use_threads=False):
                    cells = {field: batch.column(name).to_pylist() for field, name in chosen.items()}
                    times = cells.get("timestamp", [None] * len(batch))
                    for user, item, time in zip(cells["user"], cells["item"], times, strict=True):
                        row += 1
                        log.add(user, item, time, Location(file=source.name, row=row))
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
            raise DataRejected("damaged_file", actual=error) from error

    def _read_json(self, source: UploadedFile, log: InteractionLog, sessions: list[tuple[list[Any], Location]]) -> None:
        positions: Positions | None = None
        with open_text(source, self.issues, self.limits) as text:
            for row, line in enumerate(read_lines(text), start=1):
                if not line.strip():
                    continue
                at = Location(file=source.name, line=row, row=row)
                try:
                    items = _as_list(line)
                    if items is not None:
                        sessions.append((items, at))
                        continue
                    record = _object(line)
                    key = self._session_key(record)
                    if key is not None:
                        sessions.append((_session(record[key]), at))
                        continue
                    positions = positions or self._positions(source, [list(record)])
                    cells = {field: record.get(positions.names[index]) for field, index in positions.of.items()}
                except DataRejected as refused:
                    self.issues.record(refused, at=at, rows=1)
                    if refused.code == "column_missing":
                        return  # and so on, line by line
                    continue
                log.add(cells["user"], cells["item"], cells.get("timestamp"), at)

    def _session_key(self, record: Mapping[str, Any]) -> str | None:
        asked = self.requested_columns.get("history")
        if isinstance(asked, str):
            return asked if asked in record else None
        return next((key for key in record if _plain(key) in HISTORY and isinstance(record[key], list)), None)

    def _positions(self, source: UploadedFile, start: Sequence[Sequence[str]]) -> Positions:
        """By what was asked, by names, or where there are none by the order that all such files have."""
        first = [str(cell).strip() for cell in start[0]]
        named = _named(first)
        has_header = bool(named) or any(
            isinstance(asked, str) and asked in first for asked in self.requested_columns.values()
        )
        found = named if has_header else dict(zip(FIELDS, range(len(first)), strict=False))
        if not has_header and len(first) == 3 and _is_time(first[2]):
            found = {"user": 0, "item": 1, "timestamp": 2}
        found |= {field: _asked(first, asked, has_header=has_header) for field, asked in self.requested_columns.items()}
        missing = [field for field in ("user", "item") if field not in found]
        if missing or len(first) < 2:
            shown = ", ".join(first[:LOOKED_AT])
            raise DataRejected("column_missing", actual=shown, expected=" and ".join(missing or ("user", "item")))
        names = tuple(first) if has_header else tuple(str(index + 1) for index in range(len(first)))
        self.detected_columns = self.detected_columns or {
            field: names[index] if has_header else index + 1 for field, index in sorted(found.items())
        }
        if "rating" in found:
            self.issues.add("ratings_not_used", at=Location(file=source.name, column=names[found["rating"]]))
        return Positions(found, names, has_header)


def _batch(held: Sequence[tuple[list[Any], Location]], split: str) -> Batch:
    places = Locations([place.file or "" for _, place in held], rows=np.array([place.row or 0 for _, place in held]))
    return Batch({"history": [history for history, _ in held]}, places, split)


def _names_log(source: UploadedFile) -> bool:
    """Whether the file says so itself: by its column names, or the double colons of MovieLens."""
    if source.content in ("zip", "tar"):
        return any(PurePosixPath(name).name.lower() in MOVIELENS for name in source.member_names)
    if source.content == "parquet":
        return _name_log(_parquet_names(source))
    try:
        with open_text(source, IssueLog(max_samples=0), Limits()) as text:
            first = next((line for line in read_lines(text) if line.strip()), "")
        if source.content == "json":
            record = _object(first)
            return _name_log(list(record)) or any(
                _plain(key) in HISTORY and isinstance(record[key], list) for key in record
            )
        cells = _cells(first, _delimiter([first]))
    except DataRejected:
        return False  # no log that can be read; whose file it is says what is wrong with it
    return _name_log(cells) or _is_event(cells) or _as_list(first) is not None


def _name_log(columns: Sequence[str]) -> bool:
    """Whether they are a user and an item; but reviews of products are texts, unless it is said what they are for."""
    foreign = any(column.strip().lower() in (*COLUMNS["text"], *COLUMNS["label"]) for column in columns)
    return not foreign and {"user", "item"} <= _named(columns).keys()


def _is_event(cells: Sequence[str]) -> bool:
    """Whether a row without names is one of a log: who, what, perhaps a rating, and when in seconds or finer."""
    *told, time = cells
    numbers = is_number(time) and (len(told) == 2 or (len(told) == 3 and is_number(told[2])))
    return numbers and _is_time(time) and not any(" " in cell.strip() or not cell.strip() for cell in told)


def _as_list(line: str) -> list[Any] | None:
    """A session that is nothing but its items: `["one", "two"]`."""
    if not line.startswith("["):
        return None
    try:
        items = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) and all(isinstance(item, str | int) for item in items) else None


def _parquet_names(source: UploadedFile) -> list[str]:
    # Not every import meets one.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path, thrift_string_size_limit=LARGEST_FOOTER_STRING) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError):
        return []  # as above


def _plain(name: str) -> str:
    """`userId` and `user_id:token` (as RecBole writes it) alike: `userid`."""
    return re.sub(r"[^a-z]", "", name.partition(":")[0].lower())


def _named(names: Sequence[str]) -> dict[str, int]:
    plain = [_plain(str(name)) for name in names]
    return {
        field: next(plain.index(alias) for alias in aliases if alias in plain)
        for field, aliases in ALIASES.items()
        if any(alias in plain for alias in aliases)
    }


def _asked(names: Sequence[str], asked: str | int, *, has_header: bool) -> int:
    if isinstance(asked, str) and has_header and asked in names:
        return names.index(asked)
    if isinstance(asked, int) and not isinstance(asked, bool) and 1 <= asked <= len(names):
        return asked - 1
    known = ", ".join(names) if has_header else "no names"
    raise DataRejected(
        "column_missing", actual=f"no column {asked}", expected=f"{known}; or a position 1 to {len(names)}"
    )


def _delimiter(start: Sequence[str]) -> str:
    """The first that parts every line into the same number of cells."""
    for delimiter in DELIMITERS:
        widths = {len(_cells(line, delimiter)) for line in start}
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    return max(DELIMITERS, key=lambda delimiter: start[0].count(delimiter))


def _cells(line: str, delimiter: str) -> list[str]:
    return next((cells for _, cells in _records([line], delimiter)), [])


def _records(text: IO[str] | Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells."""
    source = text if isinstance(text, list) else read_lines(text)  # type: ignore[arg-type]  # a file, as the type says
    if len(delimiter) > 1:
        yield from ((number, line.rstrip("\n").split(delimiter)) for number, line in enumerate(source, start=1))
        return
    reader = csv.reader(source, delimiter=delimiter)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataRejected("bad_quoting", actual=error, at=Location(line=reader.line_num)) from error


def _is_time(cell: str) -> bool:
    try:
        return float(cell) > OLDEST
    except ValueError:
        return bool(re.match(r"\d{4}-\d{2}-\d{2}", cell))


def _object(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataRejected("json_invalid", actual=error) from None
    if not isinstance(record, dict):
        raise DataRejected("json_not_an_object", actual=record)
    return record


def _session(items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise DataRejected("history_not_a_list", actual=items, expected='["one", "two"]')
    return [item["item"] if isinstance(item, dict) and "item" in item else item for item in items]
