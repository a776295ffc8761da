"""Conversations, as services for fine-tuning take them: each answer of the assistant is to be learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

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

MESSAGES: Final = "messages"
SURE: Final = 3.0
ROLES: Final = "system, user, assistant"
START_BYTES: Final = 1 << 16


class Conversations(Format):
    """A row for each turn of the assistant: what was said before is its prompt, what it said is the text."""

    name = "conversations"
    summary = 'JSON lines of conversations, {"messages": [{"role": "user", "content": "..."}, ...]}'
    columns: ClassVar[Mapping[str, str]] = {"prompt": "text", "text": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"json"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """By the name that the turns have."""
        if not super().detect(sources, wanted):
            return 0
        return SURE if all(_has_messages(source) for source in sources) else 0

    def read(self) -> Iterator[Batch]:
        """File by file."""
        yield from self.read_files(self._read_file)

    def _read_file(self, source: UploadedFile) -> Iterator[Batch]:
        found: list[tuple[str, str, int, int]] = []
        weight = row = 0
        with open_text(source, self.issues, self.limits) as text:
            for number, line in enumerate(read_lines(text), start=1):
                if not line.strip():
                    continue
                row += 1
                turns = self._turns(line, Location(file=source.name, line=number, row=row))
                found += [(prompt, answer, number, row) for prompt, answer in turns]
                weight += sum(len(prompt) + len(answer) for prompt, answer in turns)
                if len(found) >= ROWS_PER_BATCH or weight > BYTES_PER_BATCH:
                    yield _batch(found, source)
                    found, weight = [], 0
        if found:
            yield _batch(found, source)

    def _turns(self, line: str, at: Location) -> list[tuple[str, str]]:
        """Prompt and answer of each of the assistant's turns; what is wrong becomes a finding and loses the line."""
        try:
            messages = self._messages(line)
        except DataRejected as refused:
            self.issues.record(refused, at=at, rows=1)
            return []
        answers = [index for index, message in enumerate(messages) if message.role == "assistant" and index]
        return [(format_prompt(messages[:index]), messages[index].content.strip()) for index in answers]

    def _messages(self, line: str) -> list[Message]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataRejected("json_invalid", actual=error) from None
        turns = record.get(MESSAGES) if isinstance(record, dict) else None
        if not isinstance(turns, list) or not turns:
            raise DataRejected("conversation_invalid", actual=line.strip(), expected='{"messages": [...]}')
        messages = [_message(index, turn) for index, turn in enumerate(turns, start=1)]
        spoken = [message.role for message in messages]
        if "system" in spoken[1:]:
            raise DataRejected(
                "conversation_order", actual=", ".join(spoken), expected="a system turn only at the start"
            )
        if spoken[-1] != "assistant" or spoken[0] == "assistant":
            expected = "first a user, last the assistant, whose turn is to be learned"
            raise DataRejected("conversation_order", actual=", ".join(spoken), expected=expected)
        return messages


def _message(index: int, turn: Any) -> Message:
    kept = {name: turn.get(name) for name in ("role", "content")} if isinstance(turn, dict) else turn
    try:
        message = Message.model_validate(kept)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        expected = ROLES if place == "role" else "a text"
        raise DataRejected(
            "conversation_invalid", actual=f"turn {index}: {place}: {fault['msg']}", expected=expected
        ) from None
    if not message.content.strip():
        raise DataRejected("conversation_invalid", actual=f"turn {index}: nothing is said", expected="a text")
    return message


def _batch(found: Sequence[tuple[str, str, int, int]], source: UploadedFile) -> Batch:
    prompts, texts, at_lines, rows = zip(*found, strict=True)
    places = Locations(source.name, np.array(rows), np.array(at_lines))
    return Batch({"prompt": list(prompts), "text": list(texts)}, places, source.split)


def _has_messages(source: UploadedFile) -> bool:
    if source.compression is not None or source.content != "json":
        return False
    with source.path.open("rb") as file:
        return f'"{MESSAGES}"'.encode() in file.read(START_BYTES).split(b"\n", 1)[0]
