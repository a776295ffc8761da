"""Conversations in the layout of fine-tuning services; the model learns each turn of the assistant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from pydantic import ValidationError

from ml.data.conversations import Message, format_prompt
from ml.data.files.text import open_text, read_lines
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

MESSAGES_KEY: Final = "messages"
SURE: Final = 3.0
ROLES: Final = "system, user, assistant"
START_BYTES: Final = 1 << 16


class _Turn(NamedTuple):
    """One turn of the assistant, with line and row number of its conversation."""

    prompt: str
    text: str
    line: int
    row: int


class Conversations(Format):
    """A row per turn of the assistant.

    The turns before are its prompt, the turn itself is the text.
    """

    name = "conversations"
    summary = 'JSON lines of conversations, {"messages": [{"role": "user", "content": "..."}, ...]}'
    columns: ClassVar[Mapping[str, str]] = {"prompt": "text", "text": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"json"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if the first line of every file has the key `messages`."""
        if not super().detect(sources, required):
            return 0
        return SURE if all(_has_messages(source) for source in sources) else 0

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        yield from self.read_files(self._read_file)

    def _read_file(self, source: UploadedFile) -> Iterator[Batch]:
        turns: list[_Turn] = []
        character_count = row = 0
        with open_text(source, self.issues, self.limits) as text:
            for number, line in enumerate(read_lines(text), start=1):
                if not line.strip():
                    continue
                row += 1
                pairs = self._read_turns(line, Location(file=source.name, line=number, row=row))
                turns += [_Turn(prompt, answer, number, row) for prompt, answer in pairs]
                character_count += sum(len(prompt) + len(answer) for prompt, answer in pairs)
                if len(turns) >= ROWS_PER_BATCH or character_count > BYTES_PER_BATCH:
                    yield _batch(turns, source)
                    turns, character_count = [], 0
        if turns:
            yield _batch(turns, source)

    def _read_turns(self, line: str, at: Location) -> list[tuple[str, str]]:
        """Return prompt and text of each turn of the assistant.

        An invalid conversation becomes an issue.
        """
        try:
            messages = _parse_messages(line)
        except DataRejected as rejection:
            self.issues.record(rejection, at=at, rows=1)
            return []
        answers = [index for index, message in enumerate(messages) if message.role == "assistant" and index]
        return [(format_prompt(messages[:index]), messages[index].content.strip()) for index in answers]


def _parse_messages(line: str) -> list[Message]:
    """Parse a conversation; raises `DataRejected` for invalid JSON, messages or order of roles."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataRejected("json_invalid", actual=error) from None
    entries = record.get(MESSAGES_KEY) if isinstance(record, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DataRejected("conversation_invalid", actual=line.strip(), expected='{"messages": [...]}')
    messages = [_parse_message(index, entry) for index, entry in enumerate(entries, start=1)]
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        expected = "a system turn only at the start"
        raise DataRejected("conversation_order", actual=", ".join(roles), expected=expected)
    if roles[-1] != "assistant" or roles[0] == "assistant":
        expected = "first a user, last the assistant, whose turn is to be learned"
        raise DataRejected("conversation_order", actual=", ".join(roles), expected=expected)
    return messages


def _parse_message(index: int, entry: Any) -> Message:
    # Other keys, such as `name`, are ignored.
    fields = {name: entry.get(name) for name in ("role", "content")} if isinstance(entry, dict) else entry
    try:
        message = Message.model_validate(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        path = ".".join(map(str, fault["loc"]))
        expected = ROLES if path == "role" else "a text"
        actual = f"turn {index}: {path}: {fault['msg']}"
        raise DataRejected("conversation_invalid", actual=actual, expected=expected) from None
    if not message.content.strip():
        raise DataRejected("conversation_invalid", actual=f"turn {index}: empty content", expected="a text")
    return message


def _batch(turns: Sequence[_Turn], source: UploadedFile) -> Batch:
    prompts, texts, lines, rows = zip(*turns, strict=True)
    locations = Locations(source.name, np.array(rows), np.array(lines))
    return Batch({"prompt": list(prompts), "text": list(texts)}, locations, source.split, groups=rows)


def _has_messages(source: UploadedFile) -> bool:
    if source.compression is not None or source.content != "json":
        return False
    with source.path.open("rb") as file:
        return f'"{MESSAGES_KEY}"'.encode() in file.read(START_BYTES).split(b"\n", 1)[0]
