"""Logs of interactions: MovieLens, tables of user and item, sessions of items."""

from __future__ import annotations

import io
import itertools
import json
import re
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.dataset import SPLITS
from ml.data.files.archives import list_members, read_members
from ml.data.files.parquet import DAMAGE
from ml.data.files.text import detect_encoding, open_lines, open_text, read_lines
from ml.data.files.upload import ExtractedFile, find_split, parse_split
from ml.data.first_rows import FirstRows
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.formats.behavior._interaction_log import MIN_HELD_OUT_ITEMS, MIN_PREDICTED_ITEMS, History, InteractionLog
from ml.data.formats.behavior._item_files import (
    RECBOLE_ITEM_SUFFIX,
    ItemFile,
    has_item_name,
    is_item_table,
    read_item_table,
)
from ml.data.formats.behavior._item_lists import (
    ItemList,
    ItemLists,
    element_fields,
    history_key,
    parse_list,
    session_key,
    to_events,
    user_key,
)
from ml.data.formats.behavior._log_columns import (
    ALIASES,
    FIELDS,
    NEXT_ITEM_NAMES,
    LogLayout,
    find_fields,
    holds_ids,
    normalize_name,
    parse_items,
    refine_layout,
)
from ml.data.formats.behavior._unnamed_columns import find_unnamed_fields
from ml.data.formats.behavior._user_lines import are_ascending, are_user_lines, hold_user_lines
from ml.data.issues import DataRejected, IssueLog, Location
from ml.data.limits import Limits
from ml.data.locations import Locations
from ml.data.tables.cells import ends_like_sentence, is_number
from ml.data.tables.column_aliases import plain_name, position_of
from ml.data.tables.dialects import DELIMITERS
from ml.data.tables.manifests import check_width
from ml.data.tables.records import Dialect, Record, read_records
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

#: Usual names of a log that has other files beside it.
LOG_NAMES: Final = re.compile(
    r"(ratings?|u\.data|interactions?|events?|reviews?|transactions?|sessions?|combined_data_\d+)(\b|_data\b)",
    re.IGNORECASE,
)
#: Files of MovieLens and of the Netflix Prize.
PUBLISHED_NAMES: Final = re.compile(r"ratings\.(csv|dat)|u\.data|combined_data_\d+\.txt")
#: Suffix of RecBole's logs. Files of users (.user), items (.item) and others lie beside them.
RECBOLE_SUFFIX: Final = ".inter"
TABLE_SUFFIXES: Final = frozenset(
    {".csv", ".tsv", ".dat", ".data", ".inter", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", RECBOLE_ITEM_SUFFIX}
)
MOVIELENS_DELIMITER: Final = "::"
DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
MAX_FOOTER_STRING_BYTES: Final = 16 << 20
#: A table with more columns holds features of rows, and reading their names takes seconds.
MAX_LOG_COLUMNS: Final = 1000
#: A line of the Netflix Prize with the item of all lines below it.
_ITEM_LINE: Final = re.compile(r"(\d+):")
#: A number that is no id: `1.0` may be one, as pandas writes it.
_FRACTION: Final = re.compile(r"[+-]?\d+\.\d*[1-9]\d*")
INSPECTED_LINES: Final = 20
SURE: Final = 2.0
#: The last of three unnamed columns is a time from this number on (1973 in seconds), and a rating below it.
MIN_TIMESTAMP: Final = 1e8


class Interactions(Format):
    """A row per interaction, or a line per history.

    An interaction has a user, an item, and perhaps a time, an event (view, purchase), a rating and a weight.
    Users are split by time, not at random: the last item of each is for test, the one before it for validation. Files
    that name different splits hold the items of these splits, in this order.
    """

    name = "interactions"
    summary = (
        "user, item and perhaps timestamp, event, rating and weight in CSV, TSV, Parquet or JSONL, with MovieLens's "
        'layouts and zips of them; or sessions, one per line: {"items": [...]} or [...]. items.csv describes the '
        "items. Each user's last items are held out"
    )
    columns: ClassVar[Mapping[str, str]] = {
        "history": "items",
        "user": "user",
        "events": "events",
        "ratings": "numbers",
        "weights": "numbers",
    }
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text", "json", "parquet", "zip", "tar"})
    has_columns = True
    column_choices = tuple(ALIASES)
    has_quoting = True
    split_rule = "by time: the last item of each user is for test, the one before it for validation"

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if histories are required, or if columns name user and item.

        The columns decide only if no task was named.
        """
        if required is not None:
            return super().detect(sources, required) * SURE
        readable = [source for source in sources if source.content in cls.accepted_content]
        return SURE if any(_is_log(source) or hold_user_lines(source) for source in readable) else 0

    def read(self) -> Iterator[Batch]:
        """Read all files as one log and yield its histories.

        A user may be in several files.
        """
        sessions: list[History] = []
        #: Columns of ratings, which are not used unless they are marks.
        self._rating_columns: list[Location] = []
        self._item_file: ItemFile | None = None
        unknown = sorted(self.requested_columns.keys() - ALIASES.keys())
        if unknown:
            expected = ", ".join(ALIASES)
            raise DataRejected("invalid_columns", actual=", ".join(unknown), expected=expected)
        logs = self._take_item_table(self._list_files())
        splits = _splits_of(logs)
        if splits:
            # In the order of the splits: without times, what is predicted comes after what is known.
            logs.sort(key=lambda source: SPLITS.index(splits[source.name]))
        elif requested := {source.name: source.requested_split for source in logs if source.requested_split}:
            self.issues.add("splits_at_random", actual=requested, expected=self.split_rule)
        log = InteractionLog(self.issues, self.limits, splits)
        for source in logs:
            lists = ItemLists(log, sessions, log.splits.get(source.name), self.issues)
            try:
                if source.content == "parquet":
                    self._read_parquet(source, log, lists)
                elif source.content == "json" or self._has_lists(source):
                    self._read_json(source, log, lists)
                else:
                    self._read_table(source, log, lists)
                lists.flush()
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=source.name))
        for location in () if log.has_binary_ratings else self._rating_columns:
            self.issues.add("ratings_not_used", at=location)
        yield from self._batches(itertools.chain(log.histories() if len(log) else (), sessions))

    def _batches(self, histories: Iterator[History]) -> Iterator[Batch]:
        pending: dict[str, list[tuple[dict[str, Any], Location]]] = {}
        histories, names = _find_columns(histories)
        described_items = self.item_table.row_by_id if self.item_table else {}
        short_histories: list[History] = []
        training_items: dict[str, None] = {}
        held_out_items: dict[str, Location] = {}
        for history in histories:
            if history.is_short:
                short_histories.append(history)
            if history.unused_count:
                self.issues.add("held_out_items_not_used", at=history.at, count=history.unused_count)
            for split, end in history.rows():
                if split == "train":
                    training_items.update(dict.fromkeys(map(str, history.items[:end])))
                else:
                    held_out_items.setdefault(str(history.items[end - 1]), history.at)
                rows = pending.setdefault(split, [])
                rows.append((history.columns(end), history.at))
                if len(rows) >= ROWS_PER_BATCH:
                    yield _batch(pending.pop(split), split, names)
        for split, rows in pending.items():
            yield _batch(rows, split, names)
        for item, location in held_out_items.items():
            if item not in training_items and item not in described_items:
                expected = "an item of training rows"
                self.issues.add("items_not_in_training", at=location, actual=item, expected=expected)
        for history in short_histories:
            minimum = MIN_HELD_OUT_ITEMS if history.splits is None else MIN_PREDICTED_ITEMS
            self.issues.add("history_short", at=history.at, expected=f"at least {minimum} interactions")
        if self._item_file:
            items = {**training_items, **held_out_items}
            self.item_counts = self._item_file.match(items, self.issues)

    def _take_item_table(self, files: list[UploadedFile]) -> list[UploadedFile]:
        """Read the tables of items as one, and return the logs.

        Parts of a dataset may have a table each; of an item in several, the last one counts. Other files, such as tags,
        become issues.
        """
        tables = [file for file in files if is_item_table(file)]
        others = [file for file in files if file not in tables]
        if not others:
            return files
        if any(map(hold_user_lines, others)):  # beside them are lists of the names of users
            logs = [file for file in others if hold_user_lines(file) or parse_split(PurePosixPath(file.name).stem)]
        else:
            logs = [file for file in others if _is_log_name(file.name)] or others
            fields = {file.name: _fields_of(file) for file in logs}
            if any(map(_are_complete, fields.values())):
                logs = [file for file in logs if _are_complete(fields[file.name])]
        for file in files:
            if file not in logs and file not in tables:
                self.issues.add("file_not_a_log", at=Location(file=file.name))
        for source in tables:
            try:
                item_file = read_item_table(source, self.issues, self.limits, detect_dialect=self.detect_dialect)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=source.name))
                continue
            self._item_file = item_file if self._item_file is None else self._item_file.join(item_file)
        self.item_table = self._item_file.table if self._item_file else None
        return logs

    def _list_files(self) -> list[UploadedFile]:
        """List the files of the upload, with those of archives."""
        files: list[UploadedFile] = []
        for source in self.sources:
            files += self._extract_tables(source) if source.content in ("zip", "tar") else [source]
        return files

    def _extract_tables(self, source: UploadedFile) -> list[UploadedFile]:
        try:
            members = list_members(source, self.issues, self.limits)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return []
        tables = [member.file for member in members if PurePosixPath(member.file).suffix.lower() in TABLE_SUFFIXES]
        logs = [file for file in tables if _is_log_name(file)] or tables
        logs += [file for file in tables if has_item_name(file) and file not in logs]
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
            return parse_list(next((line for line in read_lines(text) if line.strip()), "")) is not None

    def _read_table(self, source: UploadedFile, log: InteractionLog, lists: ItemLists) -> None:
        encoding = detect_encoding(source, self.issues, self.limits)
        start = list(itertools.islice(filter(str.strip, open_lines(source, encoding, self.limits)), INSPECTED_LINES))
        if not start:
            raise DataRejected("empty_file")
        if are_user_lines(start, source.name) or _are_lines_of_ids(start):
            self._read_lines_of_ids(source, open_lines(source, encoding, self.limits), start, log, lists)
            return
        if _ITEM_LINE.fullmatch(start[0].strip()):
            self._read_grouped(source, open_lines(source, encoding, self.limits), log)
            return
        records = self._records(source, encoding, start)
        first_rows = [record.cells for record in itertools.islice(records(), INSPECTED_LINES)]
        layout = self._detect_layout(source, first_rows[0], first_rows)
        self.first_rows = self.first_rows or FirstRows.of(
            source.name, layout.names, first_rows[int(layout.has_header) :]
        )
        width = len(layout.names)
        for row, record in enumerate(itertools.islice(records(), int(layout.has_header), None), start=1):
            at = Location(file=source.name, line=record.line, row=row)
            if cells := check_width(record, width, at, self.issues):
                fields = {field: cells[index].strip() for field, index in layout.positions.items()}
                self._add_row(fields, at, log, lists)

    def _records(self, source: UploadedFile, encoding: str, start: Sequence[str]) -> Callable[[], Iterator[Record]]:
        """Return a function that reads the rows anew.

        Their delimiter is that of MovieLens, a blank or a usual one.
        """
        lines = partial(open_lines, source, encoding, self.limits)
        if {len(line.split(MOVIELENS_DELIMITER)) > 1 for line in start} == {True}:
            dialect = Dialect(MOVIELENS_DELIMITER, "none")
        elif not any(delimiter in start[0] for delimiter in DELIMITERS):
            return lambda: (
                Record(number, line.split()) for number, line in enumerate(lines(), start=1) if line.strip()
            )
        else:
            dialect = self.detect_dialect(source.name, lines)
        return lambda: read_records(lines(), dialect)

    def _read_lines_of_ids(
        self,
        source: UploadedFile,
        lines: Iterator[str],
        start: Sequence[str],
        log: InteractionLog,
        lists: ItemLists,
    ) -> None:
        """Read a session or the items of a user from each line, divided by blanks.

        The first id is a user if the first ids ascend.
        """
        firsts = [line.split()[0] for line in start]
        has_users = are_ascending(firsts)
        self.detected_columns = {"user": 1, "history": "2 to the last"} if has_users else {"history": "the line"}
        for number, line in enumerate(lines, start=1):
            ids = line.split()
            at = Location(file=source.name, line=number, row=number)
            if has_users:
                for item in ids[1:]:
                    log.add(ids[0], item, None, at)
            elif ids:
                lists.add(ItemList(to_events(ids), at))

    def _read_grouped(self, source: UploadedFile, lines: Iterator[str], log: InteractionLog) -> None:
        """Read ratings below a line with their item, as in the Netflix Prize."""
        self.detected_columns = {"item": "the line above", "user": 1, "rating": 2, "timestamp": 3}
        self._rating_columns.append(Location(file=source.name, column="2"))
        item = ""
        for number, line in enumerate(lines, start=1):
            at = Location(file=source.name, line=number, row=number)
            if match := _ITEM_LINE.fullmatch(line.strip()):
                item = match[1]
            elif line.strip() and (cells := check_width(Record(number, line.strip().split(",")), 3, at, self.issues)):
                user, rating, time = cells
                log.add(user, item, time, at, rating=rating)

    def _add_row(self, fields: Mapping[str, Any], at: Location, log: InteractionLog, lists: ItemLists) -> None:
        """Add an event, or the list of items of the row.

        The item beside the list is the one to predict.
        """
        if "history" not in fields:
            log.add(
                fields["user"],
                fields["item"],
                fields.get("timestamp"),
                at,
                milliseconds=fields.get("milliseconds"),
                signal=fields.get("signal"),
                rating=fields.get("rating"),
                event=fields.get("event"),
                weight=fields.get("weight"),
            )
            return
        try:
            events = to_events(parse_items(fields["history"]), fields.get("timestamp"))
        except DataRejected as rejection:
            self.issues.record(rejection, at=at, rows=1)
            return
        has_target = fields.get("item") not in (None, "")
        events += to_events([fields["item"]], fields.get("timestamp")) if has_target else []
        user = fields.get("user")
        # In a table with items to predict, a row holds one such item and the history before it.
        is_joined = not has_target and user not in (None, "")
        lists.add(ItemList(events, at, fields.get("session") if user is None else user, is_joined))

    def _read_parquet(self, source: UploadedFile, log: InteractionLog, lists: ItemLists) -> None:
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
                names = list(file.schema_arrow.names)
                start = next(file.iter_batches(batch_size=INSPECTED_LINES, use_threads=False), None)
                first_rows = [] if start is None else [list(row.values()) for row in start.to_pylist()]
                layout = self._detect_layout(source, names, first_rows)
                row = 0
                for batch in file.iter_batches(
                    columns=[names[index] for index in layout.positions.values()], use_threads=False
                ):
                    columns = [batch.column(names[index]).to_pylist() for index in layout.positions.values()]
                    for cells in zip(*columns, strict=True):
                        row += 1
                        fields = dict(zip(layout.positions, cells, strict=True))
                        self._add_row(fields, Location(file=source.name, row=row), log, lists)
        except DAMAGE as error:
            raise DataRejected("damaged_file", actual=error) from error

    def _read_json(self, source: UploadedFile, log: InteractionLog, lists: ItemLists) -> None:
        layout: LogLayout | None = None
        unread = UnreadFields()
        with open_text(source, self.issues, self.limits) as text:
            for number, line in enumerate(read_lines(text), start=1):
                if not line.strip():
                    continue
                at = Location(file=source.name, line=number, row=number)
                try:
                    session = parse_list(line)
                    record = {} if session is not None else _parse_object(line)
                    names = {} if session is not None else self._find_session(record)
                    if session is not None or names:
                        row = ItemList(to_events(session), at) if session is not None else _to_list(record, names, at)
                        unread.add_all(record, names.values(), at)
                        if not self.detected_columns:
                            self.detected_columns = dict(names)
                            self._report_sessions(source, names, list(record))
                        lists.add(row)
                        continue
                    layout = layout or self._detect_layout(source, list(record), [list(record.values())])
                    fields = {field: record.get(layout.names[index]) for field, index in layout.positions.items()}
                except DataRejected as rejection:
                    self.issues.record(rejection, at=at, rows=1)
                    if rejection.code == "column_missing":
                        return  # all further lines would be rejected as well
                    continue
                self._add_row(fields, at, log, lists)
        unread.report(self.issues)

    def _find_session(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return the keys of a list of items, its user and its time.

        A session whose items have times is a user, whose events are in the order of these.
        """
        requests = self.requested_columns
        history = requests.get("history", history_key(record))
        if not isinstance(history, str) or history not in record:
            return {}
        user = requests.get("user", user_key(record))
        if user is None and "timestamp" in element_fields(record[history]):
            user = session_key(list(record))
        names = list(record)
        position = find_fields(names).get("timestamp")
        time = requests.get("timestamp", None if position is None else names[position])
        target = next((name for name in names if normalize_name(name) in NEXT_ITEM_NAMES), None)
        fields = {"history": history, "user": user, "timestamp": time, "item": target}
        return {field: name for field, name in fields.items() if isinstance(name, str)}

    def _report_sessions(self, source: UploadedFile, fields: Mapping[str, Any], names: Sequence[str]) -> None:
        """Report that the sessions of a user become one history."""
        session = session_key(names)
        if {"history", "user"} <= fields.keys() and session is not None and session not in fields.values():
            expected = f'columns {{"user": "{session}"}} to keep them apart'
            self.issues.add("sessions_joined", at=Location(file=source.name, column=session), expected=expected)

    def _detect_layout(
        self, source: UploadedFile, first_row: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> LogLayout:
        """Locate the fields: as requested, else by column names, else by the first cells.

        Without a header they are in the usual order of such logs. Raises `DataRejected` if there is no user or no item.
        """
        first = [str(cell).strip() for cell in first_row]
        named = find_fields(first)
        requests = self.requested_columns
        is_table = bool(rows) and list(rows[0]) == list(first_row)
        has_names = bool(named) and not (is_table and _are_values(first, named))
        has_header = has_names or any(isinstance(request, str) and request in first for request in requests.values())
        positions = named if has_header else _usual_positions(first, requests)
        positions |= {
            field: _requested_position(first, request, has_header=has_header) for field, request in requests.items()
        }
        names = tuple(first) if has_header else tuple(str(index + 1) for index in range(len(first)))
        values = rows[1:] if has_header and is_table else rows
        layout = refine_layout(LogLayout(positions, names, has_header), values, requests) if rows else None
        layout = layout or LogLayout(positions, names, has_header)
        required = () if "history" in layout.positions else ("user", "item")
        missing = [field for field in required if field not in layout.positions]
        if missing or len(first) < 2:
            actual = ", ".join(first[:INSPECTED_LINES])
            raise DataRejected("column_missing", actual=actual, expected=" and ".join(missing or ("user", "item")))
        self._report_layout(source, layout)
        return layout

    def _report_layout(self, source: UploadedFile, layout: LogLayout) -> None:
        names = layout.names
        self.detected_columns = self.detected_columns or {
            field: names[index] if layout.has_header else index + 1 for field, index in sorted(layout.positions.items())
        }
        self._report_sessions(source, self.detected_columns, names)
        if "rating" in layout.positions:
            self._rating_columns.append(Location(file=source.name, column=names[layout.positions["rating"]]))
        unread = UnreadFields()
        for name in layout.unread:
            unread.add(name, Location(file=source.name))
        unread.report(self.issues, read=", ".join(f"{key} = {value}" for key, value in self.detected_columns.items()))


def _are_values(cells: Sequence[str], named: Mapping[str, int]) -> bool:
    """Return whether a first row holds values, such as `user_000001`."""
    if find_unnamed_fields(cells):
        return True  # a cell such as "purchase" is an event there, not a name
    return any(map(DATE.match, cells)) or all(re.search(r"\d", cells[position]) for position in named.values())


def _usual_positions(cells: Sequence[str], requests: Mapping[str, str | int]) -> dict[str, int]:
    """Return the fields of a row without column names, in the usual order.

    Raises `DataRejected` if a date precedes several columns, or a name follows the second, so that any may be the item.
    """
    if fields := find_unnamed_fields(cells):
        return fields
    dates = [position for position, cell in enumerate(cells) if DATE.match(cell)]
    if len(cells) == 3 and (dates or _is_time(cells[2])):
        time = dates[0] if dates else 2
        user, item = (position for position in range(3) if position != time)
        return {"user": user, "item": item, "timestamp": time}
    has_rating = len(cells) < 3 or dates == [2] or is_number(cells[2])
    if has_rating and (not dates or dates[0] in (FIELDS.index("timestamp"), len(cells) - 1)):
        return dict(zip(FIELDS, range(len(cells)), strict=False))
    if "item" not in requests:
        expected = 'the item by its position, such as columns {"item": 3}: the rows have no column names'
        raise DataRejected("column_missing", actual=", ".join(cells), expected=expected)
    return {"user": 0, **({"timestamp": dates[0]} if dates else {})}


def _are_lines_of_ids(start: Sequence[str]) -> bool:
    """Return whether lines are ids divided by blanks.

    They are not equally many in all lines, or more than an interaction has fields, with no time among them.
    """
    if any(delimiter in line for line in start for delimiter in (*DELIMITERS, MOVIELENS_DELIMITER)):
        return False
    widths = {len(line.split()) for line in start}
    has_fields = max(widths) <= len(FIELDS) or any(map(_is_time, start[0].split()))
    return (len(widths) > 1 or not has_fields) and start[0][:1] not in "[{"


def _find_columns(histories: Iterator[History]) -> tuple[Iterator[History], list[str]]:
    """Return the histories, and the columns that they have.

    A log has them for all users. Sessions, which come last, have none but the items.
    """
    first = next(histories, None)
    if first is None:
        return iter(()), ["history"]
    names = [name for name, value in first.columns(1).items() if value is not None]
    return itertools.chain([first], histories), names


def _batch(rows: Sequence[tuple[Mapping[str, Any], Location]], split: str, names: Sequence[str]) -> Batch:
    files = [location.file or "" for _, location in rows]
    locations = Locations(files, rows=np.array([location.row or 0 for _, location in rows]))
    columns = {name: [values[name] for values, _ in rows] for name in names}
    return Batch(columns, locations, split, optional=frozenset(names) - {"history"})


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
        return any(PUBLISHED_NAMES.fullmatch(path.name) or path.suffix == RECBOLE_SUFFIX for path in paths)
    if source.content == "parquet":
        return _are_log_columns(_parquet_names(source)) or _has_parquet_history(source)
    try:
        with open_text(source, IssueLog(max_samples=0), Limits()) as text:
            lines = (line for line in read_lines(text) if line.strip())
            first, second = next(lines, ""), next(lines, "")
        if source.content == "json":
            record = _parse_object(first)
            return _are_log_columns(list(record)) or history_key(record) is not None
        cells, row = _split_first_line(first), _split_first_line(second)
    except DataRejected:
        return False  # the format that reads this file reports what is wrong with it
    is_item = _ITEM_LINE.fullmatch(first.strip()) is not None and _is_grouped(source)
    is_history = _are_history_columns(cells, row)
    # One list alone has the names of something, such as classes.
    are_lists = bool(second) and _are_items(parse_list(first))
    is_event = _is_event(cells) and not _is_measured(row)
    is_event |= _is_log_name(PurePosixPath(source.name).name) and _is_rated(first, cells)
    return _are_log_columns(cells) or is_event or is_item or is_history or are_lists


def _are_items(items: Sequence[Any] | None) -> bool:
    """Return whether a list holds names of items rather than sentences."""
    if items is None:
        return False
    return not any(isinstance(item, str) and ends_like_sentence(item) and " " in item for item in items)


def _are_complete(fields: Collection[str]) -> bool:
    """Return whether fields say who took what."""
    return "history" in fields or {"user", "item"} <= set(fields)


def _fields_of(source: UploadedFile) -> Collection[str]:
    """Return the fields that the columns of a log name; empty without names."""
    if source.content == "parquet":
        return find_fields(_parquet_names(source)).keys()
    try:
        with open_text(source, IssueLog(max_samples=0), Limits()) as text:
            first = next((line for line in read_lines(text) if line.strip()), "")
        names = list(_parse_object(first)) if source.content == "json" else _split_first_line(first)
    except DataRejected:
        return ()  # a list of items, or damaged, which its reader reports
    return find_fields(names).keys()


def _is_grouped(source: UploadedFile) -> bool:
    """Return whether a line of an item is followed by users, ratings and dates."""
    start = b"".join(source.text_starts.values()).decode("utf-8", "replace").splitlines()[1:2]
    return bool(start) and re.fullmatch(r"\d+,\d(\.\d)?,\d{4}-\d\d-\d\d", start[0].strip()) is not None


def _are_log_columns(names: Sequence[str]) -> bool:
    """Return whether columns name a user and an item, but no text.

    Product reviews, for example, are texts.
    """
    if len(names) > MAX_LOG_COLUMNS:
        return False
    has_text = position_of("text", [plain_name(name) for name in names]) is not None
    return not has_text and {"user", "item"} <= find_fields(names).keys()


def _are_history_columns(names: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether columns name user and history, and the first row lists ids."""
    fields = find_fields(names)
    return {"user", "history"} <= fields.keys() and len(row) == len(names) and holds_ids(row[fields["history"]])


def _is_event(cells: Sequence[str]) -> bool:
    """Return whether a row without column names is an event.

    An event is a user, an item, perhaps a rating, and a time.
    """
    if find_unnamed_fields(cells):
        return True
    if not cells or _is_measured(cells):
        return False
    *ids, time = cells
    is_numeric = is_number(time) and (len(ids) == 2 or (len(ids) == 3 and is_number(ids[2])))
    return is_numeric and _is_time(time) and not any(" " in cell.strip() or not cell.strip() for cell in ids)


def _is_rated(line: str, cells: Sequence[str]) -> bool:
    """Return whether a line is a user, an item and a rating, all numbers.

    So Epinions and FilmTrust are published.
    """
    fields = cells if len(cells) > 1 else line.split()
    return len(fields) == 3 and all(cell.strip().isdecimal() for cell in fields[:2]) and is_number(fields[2])


def _is_measured(cells: Sequence[str]) -> bool:
    """Return whether a measurement stands where the item of an event does."""
    return len(cells) > 1 and _FRACTION.fullmatch(cells[1].strip()) is not None


def _parquet_names(source: UploadedFile) -> list[str]:
    # Imported here, because only Parquet files need it.
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path, thrift_string_size_limit=MAX_FOOTER_STRING_BYTES) as file:
            return list(file.schema_arrow.names)
    except DAMAGE:
        return []  # the format that reads this file reports what is wrong with it


def _has_parquet_history(source: UploadedFile) -> bool:
    """Return whether a table has lists of items beside users or next items."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path, thrift_string_size_limit=MAX_FOOTER_STRING_BYTES) as file:
            schema = file.schema_arrow
    except DAMAGE:
        return False
    fields = find_fields(schema.names)
    has_next = any(normalize_name(name) in NEXT_ITEM_NAMES for name in schema.names)
    if "history" not in fields or not ("user" in fields or has_next):
        return False
    type = schema.field(fields["history"]).type
    return bool(pa.types.is_list(type)) and bool(
        pa.types.is_integer(type.value_type) or pa.types.is_string(type.value_type)
    )


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


def _split_first_line(line: str) -> list[str]:
    """Return the cells of a line, by the most frequent delimiter."""
    line = line.rstrip("\n")
    if MOVIELENS_DELIMITER in line:
        return line.split(MOVIELENS_DELIMITER)
    dialect = Dialect(max(DELIMITERS, key=line.count))
    return next((record.cells for record in read_records([line], dialect)), [])


def _is_time(cell: str) -> bool:
    try:
        return float(cell) > MIN_TIMESTAMP
    except ValueError:
        return DATE.match(cell) is not None


def _parse_object(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataRejected("json_invalid", actual=error) from None
    if not isinstance(record, dict):
        raise DataRejected("json_not_an_object", actual=record)
    return record


def _to_list(record: Mapping[str, Any], names: Mapping[str, str], at: Location) -> ItemList:
    """Return the list of items of an object; raises `DataRejected` if it is none."""
    items = record[names["history"]]
    if not isinstance(items, list):
        raise DataRejected("history_not_a_list", actual=items, expected='["one", "two"]')
    user = record.get(names.get("user", ""))
    events = to_events(items, record.get(names.get("timestamp", "")))
    target = record.get(names.get("item", ""))
    if isinstance(target, str | int):
        # A row holds one item to predict and the history before it.
        return ItemList([*events, *to_events([target])], at, user)
    return ItemList(events, at, user, is_joined=user not in (None, ""))
