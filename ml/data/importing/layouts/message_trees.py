"""Conversations that are stored as trees of messages: OpenAssistant, and the export of ChatGPT.

https://huggingface.co/datasets/OpenAssistant/oasst1. A message names its parent, or holds its replies.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ml.data.files.parquet import DAMAGE, open_parquet
from ml.data.files.text import open_text, read_lines
from ml.data.issues import DataRejected, IssueLog, Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

_MESSAGE_KEYS: Final = {"message_id", "parent_id", "text", "role"}
_INSPECTED_RECORDS: Final = 5
#: What ChatGPT exports beside conversations.json.
_FILES_BESIDE: Final = (
    *("user.json", "chat.html", "message_feedback.json", "shared_conversations.json", "model_comparisons.json"),
    *("user_settings.json", "shopping.json", "group_chats.json"),
)


class _Message(NamedTuple):
    """One message with the key of the message that it answers."""

    parent: str | None
    role: str
    text: str


def read(upload: CorpusFiles) -> None:
    """Replace such files by conversations: one from the root to each last message."""
    for position, source in enumerate(upload.sources):
        if source.content not in ("json", "parquet") or source.path.stat().st_size > upload.limits.max_total_bytes:
            continue
        try:
            first = list(itertools.islice(_records(source, upload), _INSPECTED_RECORDS))
            if not first or not all(map(_is_known, first)):
                continue
            conversations = list(_read_conversations(_records(source, upload)))
        except (DataRejected, *DAMAGE):
            continue  # reported by the format that reads it
        if conversations:
            upload.add_rows(source.name, conversations)
            upload.sources[position] = replace(upload.sources.pop(), requested_split=source.requested_split)
            trees = {conversation["message_tree_id"] for conversation in conversations}
            actual = f"{len(conversations):,} conversations of {len(trees):,} trees"
            upload.issues.add("trees_as_conversations", at=Location(file=source.name), actual=actual)
            _leave_out_files_beside(upload)


def _records(source: UploadedFile, upload: CorpusFiles) -> Iterator[Any]:
    if source.content == "parquet":
        with open_parquet(source, upload.limits) as file:
            # Other tables may have images, of which a batch is large.
            if not set(file.schema_arrow.names) >= _MESSAGE_KEYS:
                return
            for batch in file.iter_batches(use_threads=False):
                yield from batch.to_pylist()
        return
    with open_text(source, IssueLog(max_samples=0), upload.limits) as text:
        for line in read_lines(text):
            try:
                yield json.loads(line) if line.strip() else None
            except (ValueError, RecursionError):
                yield None


def _is_known(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    prompt = record.get("prompt")
    is_tree = isinstance(prompt, dict) and isinstance(prompt.get("replies"), list)
    return record.keys() >= _MESSAGE_KEYS or is_tree or isinstance(record.get("mapping"), dict)


def _leave_out_files_beside(upload: CorpusFiles) -> None:
    """Leave out what ChatGPT exports beside the conversations."""
    beside = [source.name for source in upload.sources if PurePosixPath(source.name).name in _FILES_BESIDE]
    upload.remove(beside)
    for name in beside:
        upload.issues.add("file_beside_data", at=Location(file=name))


def _read_conversations(records: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Yield conversations with the number of their tree."""
    loose: dict[str, _Message] = {}
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            continue
        if record.keys() >= _MESSAGE_KEYS:
            if not record.get("deleted"):
                loose[str(record["message_id"])] = _to_message(record["parent_id"], record["role"], record["text"])
        elif isinstance(record.get("mapping"), dict):
            yield from _conversations(_read_mapping(record["mapping"]), f"{number}/")
        elif isinstance(record.get("prompt"), dict):
            yield from _conversations(dict(_flatten(record["prompt"])), f"{number}/")
    yield from _conversations(loose, "")


def _to_message(parent: Any, role: Any, text: Any) -> _Message:
    return _Message(None if parent is None else str(parent), str(role), text if isinstance(text, str) else "")


def _flatten(root: Mapping[str, Any]) -> Iterator[tuple[str, _Message]]:
    """Yield the messages of a tree whose messages hold their replies."""
    pending: list[tuple[str | None, Mapping[str, Any]]] = [(None, root)]
    for number in itertools.count():
        if not pending:
            return
        parent, message = pending.pop()
        if not message.get("deleted"):
            yield str(number), _to_message(parent, message.get("role"), message.get("text"))
        replies = message.get("replies")
        pending += [(str(number), reply) for reply in replies or () if isinstance(reply, dict)]


def _read_mapping(mapping: Mapping[str, Any]) -> dict[str, _Message]:
    """Return the messages of a conversation with ChatGPT."""
    messages: dict[str, _Message] = {}
    for key, node in mapping.items():
        message = node.get("message") if isinstance(node, dict) else None
        message = message if isinstance(message, dict) else {}
        author, content = message.get("author") or {}, message.get("content") or {}
        parts = content.get("parts") if isinstance(content, dict) else None
        text = "\n".join(part for part in parts or () if isinstance(part, str))
        role = author.get("role") if isinstance(author, dict) else None
        messages[key] = _to_message(node.get("parent") if isinstance(node, dict) else None, role, text)
    return messages


def _conversations(messages: Mapping[str, _Message], prefix: str) -> Iterator[dict[str, Any]]:
    """Yield the turns from the root to each message that none follows."""
    answered = {message.parent for message in messages.values()}
    for key in messages:
        if key in answered:
            continue
        turns, root = _climb(messages, key)
        if turns := _strip_end(turns):
            yield {"messages": turns, "message_tree_id": f"{prefix}{root}"}


def _climb(messages: Mapping[str, _Message], key: str) -> tuple[list[dict[str, str]], str]:
    """Return the turns up to a message, and the key of the first one.

    Messages without words are left out. In a circle of parents, no message comes twice.
    """
    turns: list[dict[str, str]] = []
    passed: set[str] = set()
    current: str | None = key
    root = key
    while current is not None and current not in passed and (message := messages.get(current)) is not None:
        passed.add(current)
        if message.text.strip() and message.role != "None":
            turns.append({"role": message.role, "content": message.text})
        root, current = current, message.parent
    return turns[::-1], root


def _strip_end(turns: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the turns up to the last answer; empty without one."""
    roles = [turn["role"] for turn in turns]
    last = max((index for index, role in enumerate(roles) if role == "assistant"), default=0)
    return list(turns[: last + 1]) if last else []
