"""Conversations in the layouts of fine-tuning services; the model learns the turns of the assistant."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa

from ml.data.files.parquet import DAMAGE, open_parquet
from ml.data.files.text import open_text, read_lines
from ml.data.formats._chat_turns import find_answers
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.formats.text._messages import MESSAGES_KEYS, TREE_KEY, find_messages_keys, parse_conversation
from ml.data.issues import DataRejected, Location
from ml.data.limits import Limits
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

SURE: Final = 3.0
START_BYTES: Final = 1 << 16
#: Conversations that are decoded together; their length is unknown before.
PARQUET_ROWS: Final = 256
#: Numbers of trees are larger than those of rows.
_FIRST_TREE: Final = 1 << 40


class _Turn(NamedTuple):
    """One turn of the assistant, with line and row number of its conversation."""

    prompt: str
    text: str
    line: int
    row: int
    #: Number of what it belongs to: its conversation, or the tree of several.
    group: int


class _Record(NamedTuple):
    """A conversation as stored, JSON or values, with line and row number."""

    value: Any
    line: int
    row: int


class Conversations(Format):
    """A row per turn of the assistant.

    The turns before are its prompt, the turn itself is the text.
    """

    name = "conversations"
    summary = (
        'Conversations as JSON lines or Parquet, {"messages": [{"role": "user", "content": "..."}, ...]}; '
        "`conversations` of `from` and `value` are read, too"
    )
    columns: ClassVar[Mapping[str, str]] = {"prompt": "text", "text": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"json", "parquet"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if the first row of every file has messages."""
        if not super().detect(sources, required):
            return 0
        return SURE if all(_has_messages(source) for source in sources) else 0

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        yield from self.read_files(self._read_file)

    def _read_file(self, source: UploadedFile) -> Iterator[Batch]:
        unread: Counter[str] = Counter()
        if source.content == "parquet":
            try:
                yield from self._batches(source, self._read_parquet(source), unread)
            except DAMAGE as error:
                raise DataRejected("damaged_file", actual=error) from error
        else:
            yield from self._batches(source, self._read_lines(source), unread)
        for name, count in unread.items():
            at = Location(file=source.name, column=name)
            self.issues.add("fields_not_read", at=at, actual=f"not read: {name}, {count:,} times", count=count)

    def _read_lines(self, source: UploadedFile) -> Iterator[_Record]:
        row = 0
        with open_text(source, self.issues, self.limits) as text:
            for number, line in enumerate(read_lines(text), start=1):
                if line.strip():
                    row += 1
                    yield _Record(line, number, row)

    def _read_parquet(self, source: UploadedFile) -> Iterator[_Record]:
        row = 0
        with open_parquet(source, self.limits) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
                for value in batch.to_pylist():
                    row += 1
                    yield _Record(value, 0, row)

    def _batches(self, source: UploadedFile, records: Iterable[_Record], unread: Counter[str]) -> Iterator[Batch]:
        turns: list[_Turn] = []
        trees: dict[str, int] = {}
        character_count = 0
        for record in records:
            at = Location(file=source.name, line=record.line or None, row=record.row)
            pairs = self._read_turns(record.value, at, unread)
            tree = _tree_of(record.value) if pairs else None
            group = record.row if tree is None else _FIRST_TREE + trees.setdefault(tree, len(trees))
            turns += [_Turn(prompt, answer, record.line, record.row, group) for prompt, answer in pairs]
            character_count += sum(len(prompt) + len(answer) for prompt, answer in pairs)
            if len(turns) >= ROWS_PER_BATCH or character_count > BYTES_PER_BATCH:
                yield _batch(turns, source)
                turns, character_count = [], 0
        if turns:
            yield _batch(turns, source)

    def _read_turns(self, value: Any, at: Location, unread: Counter[str]) -> list[tuple[str, str]]:
        """Return prompt and text of each turn to learn.

        An invalid conversation becomes an issue, and so does what is left out of a valid one.
        """
        try:
            conversation = parse_conversation(_parse_json(value) if isinstance(value, str) else value)
        except DataRejected as rejection:
            self.issues.record(rejection, at=at, rows=1)
            return []
        unread.update(conversation.unread_fields)
        turns = conversation.turns
        if conversation.calls:
            self.issues.add("tool_calls_not_learned", at=at, count=conversation.calls)
        return find_answers(turns, at, self.issues)


def _tree_of(value: Any) -> str | None:
    """Return the name of the tree of a conversation; None without one."""
    record = _parse_json(value) if isinstance(value, str) else value
    tree = record.get(TREE_KEY)
    return None if tree is None else str(tree)


def _parse_json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataRejected("json_invalid", actual=error) from None


def _batch(turns: Sequence[_Turn], source: UploadedFile) -> Batch:
    prompts, texts, lines, rows, groups = zip(*turns, strict=True)
    locations = Locations(source.name, np.array(rows), np.array(lines) if lines[0] else None)
    return Batch({"prompt": list(prompts), "text": list(texts)}, locations, source.split, groups=groups)


def _has_messages(source: UploadedFile) -> bool:
    if source.content == "parquet":
        return source.compression is None and _has_parquet_messages(source)
    if source.content != "json":
        return False
    try:
        with source.open(Limits()) as file:
            line = file.read(START_BYTES).lstrip().split(b"\n", 1)[0]
    except DataRejected:
        return False
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        # A long or damaged line is judged by its start.
        return any(f'"{key}"'.encode() in line for key in MESSAGES_KEYS[:2])
    return isinstance(record, dict) and bool(find_messages_keys(record) or isinstance(record.get("messages"), list))


def _has_parquet_messages(source: UploadedFile) -> bool:
    try:
        with open_parquet(source, Limits()) as file:
            lists = [field.name for field in file.schema_arrow if _is_list_of_objects(field.type)]
            batches = file.iter_batches(batch_size=1, columns=lists, use_threads=False) if lists else iter(())
            first = next(batches, None)
            return first is not None and any(map(find_messages_keys, first.to_pylist()[:1]))
    except (DataRejected, *DAMAGE):
        return False


def _is_list_of_objects(type: pa.DataType) -> bool:
    is_list = pa.types.is_list(type) or pa.types.is_large_list(type)
    return bool(is_list and pa.types.is_struct(type.value_type))
