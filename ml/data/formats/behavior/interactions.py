"""Logs of interactions: MovieLens, tables of user and item, sessions of items."""

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

from ml.data.dataset import SPLITS
from ml.data.files.archives import list_members, read_members
from ml.data.files.text import open_text, read_lines
from ml.data.files.upload import ExtractedFile, find_split
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.formats.behavior._interaction_log import MIN_HELD_OUT_ITEMS, MIN_PREDICTED_ITEMS, History, InteractionLog
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits
from ml.data.locations import Locations
from ml.data.tables.cells import is_number
from ml.data.tables.column_aliases import ALIASES as TABLE_ALIASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

FIELDS: Final = ("user", "item", "rating", "timestamp")
#: Field -> usual names of its column, in lower case and without characters other than a to z.
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
#: Usual names of the column that holds all items of a session.
HISTORY_NAMES: Final = ("items", "history", "sequence", "session")
#: Usual names of a log that has other files beside it.
LOG_NAMES: Final = re.compile(
    r"(ratings?|u\.data|interactions?|events?|reviews?|transactions?|sessions?)\b", re.IGNORECASE
)
MOVIELENS_NAMES: Final = frozenset({"ratings.csv", "ratings.dat", "u.data"})
#: Suffix of RecBole's logs. Files of users (.user), items (.item) and others lie beside them.
RECBOLE_SUFFIX: Final = ".inter"
TABLE_SUFFIXES: Final = frozenset(
    {".csv", ".tsv", ".dat", ".data", ".inter", ".txt", ".jsonl", ".ndjson", ".json", ".parquet"}
)
DELIMITERS: Final = ("::", "\t", ",", ";", "|")
MAX_FOOTER_STRING_BYTES: Final = 16 << 20
INSPECTED_LINES: Final = 20
SURE: Final = 2.0
#: The last of three unnamed columns is a time from this number on (1973 in seconds), and a rating below it.
MIN_TIMESTAMP: Final = 1e8


@dataclass(frozen=True, slots=True)
class LogLayout:
    """Positions, from 0, of the fields in a row, and all column names."""

    positions: Mapping[str, int]
    names: tuple[str, ...]
    has_header: bool


class Interactions(Format):
    """A row per interaction, or a line per history.

    An interaction has a user, an item, and perhaps a rating and a time. Users are split by time, not at random: the
    last item of each is for test, the one before it for validation. Files that name different splits hold the items of
    these splits, in this order.
    """

    name = "interactions"
    summary = (
        "user, item and perhaps rating and timestamp in CSV, TSV, Parquet or JSONL, with MovieLens's layouts and zips "
        'of them; or sessions, one per line: {"items": [...]} or [...]. Each user\'s last items are held out'
    )
    columns: ClassVar[Mapping[str, str]] = {"history": "items"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text", "json", "parquet", "zip", "tar"})
    has_columns = True
    split_rule = "by time: the last item of each user is for test, the one before it for validation"

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if histories are required, or if columns name user and item.

        The columns decide only if no task was named.
        """
        if required is not None:
            return super().detect(sources, required) * SURE
        readable = [source for source in sources if source.content in cls.accepted_content]
        return SURE if any(_is_log(source) for source in readable) else 0

    def read(self) -> Iterator[Batch]:
        """Read all files as one log and yield its histories.

        A user may be in several files.
        """
        sessions: list[History] = []
        unknown = sorted(self.requested_columns.keys() - {*FIELDS, "history"})
        if unknown:
            expected = ", ".join((*FIELDS, "history"))
            raise DataRejected("invalid_columns", actual=", ".join(unknown), expected=expected)
        logs = self._list_logs()
        splits = _splits_of(logs)
        if splits:
            # In the order of the splits: without times, what is predicted comes after what is known.
            logs.sort(key=lambda source: SPLITS.index(splits[source.name]))
        elif requested := {source.name: source.requested_split for source in logs if source.requested_split}:
            self.issues.add("splits_at_random", actual=requested, expected=self.split_rule)
        log = InteractionLog(self.issues, self.limits, splits)
        for source in logs:
            try:
                if source.content == "parquet":
                    self._read_parquet(source, log)
                elif source.content == "json" or self._has_lists(source):
                    self._read_json(source, log, sessions)
                else:
                    self._read_table(source, log)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=source.name))
        yield from self._batches(itertools.chain(log.histories() if len(log) else (), sessions))

    def _batches(self, histories: Iterator[History]) -> Iterator[Batch]:
        pending: dict[str, list[tuple[list[Any], Location]]] = {}
        short_histories: list[History] = []
        training_items: set[str] = set()
        held_out_items: dict[str, Location] = {}
        for history in histories:
            if history.is_short:
                short_histories.append(history)
            if history.unused_count:
                self.issues.add("held_out_items_not_used", at=history.at, count=history.unused_count)
            for split, row in history.rows():
                if split == "train":
                    training_items.update(map(str, row))
                else:
                    held_out_items.setdefault(str(row[-1]), history.at)
                rows = pending.setdefault(split, [])
                rows.append((list(row), history.at))
                if len(rows) >= ROWS_PER_BATCH:
                    yield _batch(pending.pop(split), split)
        for split, rows in pending.items():
            yield _batch(rows, split)
        for item, location in held_out_items.items():
            if item not in training_items:
                expected = "an item of training rows"
                self.issues.add("items_not_in_training", at=location, actual=item, expected=expected)
        for history in short_histories:
            minimum = MIN_HELD_OUT_ITEMS if history.splits is None else MIN_PREDICTED_ITEMS
            self.issues.add("history_short", at=history.at, expected=f"at least {minimum} interactions")

    def _list_logs(self) -> list[UploadedFile]:
        """List the files that hold interactions; other files, such as titles and tags, become issues."""
        files: list[UploadedFile] = []
        for source in self.sources:
            if source.content in ("zip", "tar"):
                files += self._extract_logs(source)
            else:
                files.append(source)
        logs = [file for file in files if _is_log_name(file.name)]
        if not logs or len(logs) == len(files):
            return files
        for file in files:
            if file not in logs:
                self.issues.add("file_not_a_log", at=Location(file=file.name))
        return logs

    def _extract_logs(self, source: UploadedFile) -> list[UploadedFile]:
        try:
            members = list_members(source, self.issues, self.limits)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return []
        tables = [member.file for member in members if PurePosixPath(member.file).suffix.lower() in TABLE_SUFFIXES]
        logs = [file for file in tables if _is_log_name(file)] or tables
        for member in members:
            if member.file not in logs:
                self.issues.add("file_not_a_log", at=Location(file=member.file))
        if not logs:
            self.issues.add("no_log_in_archive", at=Location(file=source.name))
        extracted: list[UploadedFile] = []
        for file, data in read_members(source, logs, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file))
            else:
                extracted.append(ExtractedFile(file, source.path, data=data))
        return extracted

    def _has_lists(self, source: UploadedFile) -> bool:
        """Return whether the first line is a session, a list of items."""
        with open_text(source, IssueLog(max_samples=0), self.limits) as text:
            return _parse_list(next((line for line in read_lines(text) if line.strip()), "")) is not None

    def _read_table(self, source: UploadedFile, log: InteractionLog) -> None:
        with open_text(source, self.issues, self.limits) as text:
            start = [line for line in itertools.islice(read_lines(text), INSPECTED_LINES) if line.strip()]
        if not start:
            raise DataRejected("empty_file")
        delimiter = _detect_delimiter(start)
        layout = self._detect_layout(source, _split_cells(start[0], delimiter))
        with open_text(source, self.issues, self.limits) as text:
            self._read_rows(source, text, delimiter, layout, log)

    def _read_rows(
        self, source: UploadedFile, text: IO[str], delimiter: str, layout: LogLayout, log: InteractionLog
    ) -> None:
        width = len(layout.names)
        user, item, timestamp = (layout.positions.get(name) for name in ("user", "item", "timestamp"))
        assert user is not None, "_detect_layout requires a user"
        assert item is not None, "_detect_layout requires an item"
        row = 0
        is_header_next = layout.has_header
        for line, cells in _read_records(text, delimiter):
            if not cells:
                continue
            if is_header_next:
                is_header_next = False
                continue
            row += 1
            at = Location(file=source.name, line=line, row=row)
            if len(cells) != width:
                self.issues.add("ragged_row", at=at, actual=f"{len(cells)} cells", expected=f"{width}", rows=1)
                continue
            time_cell = None if timestamp is None else cells[timestamp].strip()
            log.add(cells[user].strip(), cells[item].strip(), time_cell, at)

    def _read_parquet(self, source: UploadedFile, log: InteractionLog) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if source.compression:
            actual = f"Parquet inside {source.compression}"
            raise DataRejected("unsupported_file", actual=actual, expected="uncompressed Parquet")
        try:
            content = io.BytesIO(source.data) if isinstance(source, ExtractedFile) else source.path
            with pq.ParquetFile(content, thrift_string_size_limit=MAX_FOOTER_STRING_BYTES) as file:
                if file.metadata.num_rows > self.limits.max_rows:
                    expected = f"at most {self.limits.max_rows:,} rows"
                    raise DataRejected("too_many_rows", actual=f"{file.metadata.num_rows:,} rows", expected=expected)
                layout = self._detect_layout(source, list(file.schema_arrow.names))
                names = {field: layout.names[index] for field, index in layout.positions.items() if field != "rating"}
                row = 0
                for batch in file.iter_batches(columns=list(names.values()), use_threads=False):
                    cells = {field: batch.column(name).to_pylist() for field, name in names.items()}
                    timestamps = cells.get("timestamp", [None] * len(batch))
                    for user, item, timestamp in zip(cells["user"], cells["item"], timestamps, strict=True):
                        row += 1
                        log.add(user, item, timestamp, Location(file=source.name, row=row))
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
            raise DataRejected("damaged_file", actual=error) from error

    def _read_json(self, source: UploadedFile, log: InteractionLog, sessions: list[History]) -> None:
        layout: LogLayout | None = None
        with open_text(source, self.issues, self.limits) as text:
            for number, line in enumerate(read_lines(text), start=1):
                if not line.strip():
                    continue
                at = Location(file=source.name, line=number, row=number)
                try:
                    session = _parse_list(line)
                    if session is None:
                        record = _parse_object(line)
                        session = self._find_session(record)
                    if session is not None:
                        split = log.splits.get(source.name)
                        sessions.append(History(session, at, None if split is None else [split], is_session=True))
                        continue
                    layout = layout or self._detect_layout(source, list(record))
                    cells = {field: record.get(layout.names[index]) for field, index in layout.positions.items()}
                except DataRejected as rejection:
                    self.issues.record(rejection, at=at, rows=1)
                    if rejection.code == "column_missing":
                        return  # all further lines would be rejected as well
                    continue
                log.add(cells["user"], cells["item"], cells.get("timestamp"), at)

    def _find_session(self, record: Mapping[str, Any]) -> list[Any] | None:
        """Return the items of a record that holds a session, else None.

        Raises `DataRejected` if they are no list.
        """
        request = self.requested_columns.get("history")
        key = request if isinstance(request, str) else _history_key(record)
        return None if key is None or key not in record else _to_items(record[key])

    def _detect_layout(self, source: UploadedFile, first_row: Sequence[str]) -> LogLayout:
        """Locate the fields: as requested, else by column names.

        Without a header they are in the usual order of such logs. Raises `DataRejected` if there is no user or no item.
        """
        first = [str(cell).strip() for cell in first_row]
        named = _find_fields(first)
        requests = self.requested_columns
        has_header = bool(named) or any(isinstance(request, str) and request in first for request in requests.values())
        positions = named if has_header else dict(zip(FIELDS, range(len(first)), strict=False))
        if not has_header and len(first) == 3 and _is_time(first[2]):
            positions = {"user": 0, "item": 1, "timestamp": 2}
        positions |= {
            field: _requested_position(first, request, has_header=has_header) for field, request in requests.items()
        }
        missing = [field for field in ("user", "item") if field not in positions]
        if missing or len(first) < 2:
            actual = ", ".join(first[:INSPECTED_LINES])
            raise DataRejected("column_missing", actual=actual, expected=" and ".join(missing or ("user", "item")))
        names = tuple(first) if has_header else tuple(str(index + 1) for index in range(len(first)))
        self.detected_columns = self.detected_columns or {
            field: names[index] if has_header else index + 1 for field, index in sorted(positions.items())
        }
        if "rating" in positions:
            self.issues.add("ratings_not_used", at=Location(file=source.name, column=names[positions["rating"]]))
        return LogLayout(positions, names, has_header)


def _batch(rows: Sequence[tuple[list[Any], Location]], split: str) -> Batch:
    files = [location.file or "" for _, location in rows]
    locations = Locations(files, rows=np.array([location.row or 0 for _, location in rows]))
    return Batch({"history": [history for history, _ in rows]}, locations, split)


def _is_log_name(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == RECBOLE_SUFFIX or LOG_NAMES.match(path.name) is not None


def _splits_of(logs: Sequence[UploadedFile]) -> dict[str, str]:
    """Return the split of each log by its name; empty unless they name different ones.

    A log without a split is for training.
    """
    splits = {
        log.name: log.requested_split or find_split(PurePosixPath(log.name).name) or log.split or SPLITS[0]
        for log in logs
    }
    return splits if len(set(splits.values())) > 1 else {}


def _is_log(source: UploadedFile) -> bool:
    """Return whether column names or MovieLens's double colons mark a log."""
    if source.content in ("zip", "tar"):
        paths = [PurePosixPath(name.lower()) for name in source.member_names]
        return any(path.name in MOVIELENS_NAMES or path.suffix == RECBOLE_SUFFIX for path in paths)
    if source.content == "parquet":
        return _are_log_columns(_parquet_names(source))
    try:
        with open_text(source, IssueLog(max_samples=0), Limits()) as text:
            first = next((line for line in read_lines(text) if line.strip()), "")
        if source.content == "json":
            record = _parse_object(first)
            return _are_log_columns(list(record)) or _history_key(record) is not None
        cells = _split_cells(first, _detect_delimiter([first]))
    except DataRejected:
        return False  # the format that reads this file reports what is wrong with it
    return _are_log_columns(cells) or _is_event(cells) or _parse_list(first) is not None


def _are_log_columns(names: Sequence[str]) -> bool:
    """Return whether columns name a user and an item, but no text or label.

    Product reviews, for example, are texts.
    """
    has_text = any(name.strip().lower() in (*TABLE_ALIASES["text"], *TABLE_ALIASES["label"]) for name in names)
    return not has_text and {"user", "item"} <= _find_fields(names).keys()


def _is_event(cells: Sequence[str]) -> bool:
    """Return whether a row without column names is an event.

    An event is a user, an item, perhaps a rating, and a time.
    """
    *ids, time = cells
    is_numeric = is_number(time) and (len(ids) == 2 or (len(ids) == 3 and is_number(ids[2])))
    return is_numeric and _is_time(time) and not any(" " in cell.strip() or not cell.strip() for cell in ids)


def _history_key(record: Mapping[str, Any]) -> str | None:
    """Return the key of a list with a usual name of a history."""
    return next(
        (key for key in record if _normalize_name(key) in HISTORY_NAMES and isinstance(record[key], list)), None
    )


def _parse_list(line: str) -> list[Any] | None:
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


def _parquet_names(source: UploadedFile) -> list[str]:
    # Imported here, because only Parquet files need it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path, thrift_string_size_limit=MAX_FOOTER_STRING_BYTES) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError):
        return []  # the format that reads this file reports what is wrong with it


def _normalize_name(name: str) -> str:
    """Convert both `userId` and `user_id:token` (as RecBole writes it) to `userid`."""
    return re.sub(r"[^a-z]", "", name.partition(":")[0].lower())


def _find_fields(names: Sequence[str]) -> dict[str, int]:
    """Return the position of each field whose column has a usual name."""
    normalized = [_normalize_name(str(name)) for name in names]
    return {
        field: next(normalized.index(alias) for alias in aliases if alias in normalized)
        for field, aliases in ALIASES.items()
        if any(alias in normalized for alias in aliases)
    }


def _requested_position(names: Sequence[str], request: str | int, *, has_header: bool) -> int:
    """Return the position from 0 of a requested column; raises `DataRejected` if there is none."""
    if isinstance(request, str) and has_header and request in names:
        return names.index(request)
    if isinstance(request, int) and not isinstance(request, bool) and 1 <= request <= len(names):
        return request - 1
    listed = ", ".join(names) if has_header else "no names"
    raise DataRejected(
        "column_missing", actual=f"no column {request}", expected=f"{listed}; or a position 1 to {len(names)}"
    )


def _detect_delimiter(start: Sequence[str]) -> str:
    """Return the first delimiter that divides all lines into equally many cells.

    A line must have at least two cells; if no delimiter fits, the most frequent one of the first line is returned.
    """
    for delimiter in DELIMITERS:
        widths = {len(_split_cells(line, delimiter)) for line in start}
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    return max(DELIMITERS, key=lambda delimiter: start[0].count(delimiter))


def _split_cells(line: str, delimiter: str) -> list[str]:
    return next((cells for _, cells in _read_records([line], delimiter)), [])


def _read_records(text: IO[str] | Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells."""
    lines = text if isinstance(text, list) else read_lines(text)  # type: ignore[arg-type]  # a file, as the type says
    if len(delimiter) > 1:
        yield from ((number, line.rstrip("\n").split(delimiter)) for number, line in enumerate(lines, start=1))
        return
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataRejected("bad_quoting", actual=error, at=Location(line=reader.line_num)) from error


def _is_time(cell: str) -> bool:
    try:
        return float(cell) > MIN_TIMESTAMP
    except ValueError:
        return bool(re.match(r"\d{4}-\d{2}-\d{2}", cell))


def _parse_object(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataRejected("json_invalid", actual=error) from None
    if not isinstance(record, dict):
        raise DataRejected("json_not_an_object", actual=record)
    return record


def _to_items(items: Any) -> list[Any]:
    """Return the items of a session, which may be objects with a key `item`."""
    if not isinstance(items, list):
        raise DataRejected("history_not_a_list", actual=items, expected='["one", "two"]')
    return [item["item"] if isinstance(item, dict) and "item" in item else item for item in items]
