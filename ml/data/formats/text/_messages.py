"""Messages of a conversation as fine-tuning services and libraries write them.

OpenAI: https://platform.openai.com/docs/api-reference/chat; ShareGPT: `conversations` of `from` and `value`;
TRL: `prompt` and `completion` or `chosen`, both lists of messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Keys of a list of messages, the likeliest first.
MESSAGES_KEYS: Final = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns")
#: Keys of lists of messages that answer a prompt.
ANSWER_KEYS: Final = ("completion", "chosen")
#: Key of the tree that a conversation is a branch of; branches of one stay in one split.
TREE_KEY: Final = "message_tree_id"
_ROLE_KEYS: Final = ("role", "from", "speaker")
_CONTENT_KEYS: Final = ("content", "value", "text")
#: Name of a speaker -> role.
ROLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "chatbot"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "ipython"), "tool"),
}
_ALTERNATING_ROLES: Final = ("user", "assistant")
_CALLS_KEYS: Final = ("tool_calls", "function_call")
#: Keys that say whether the model learns a turn, with the values that say no.
_LEARNED_KEYS: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("weight", "loss_weight"), (0,)),
    **dict.fromkeys(("train", "training", "trainable", "loss", "learn"), (False, 0)),
    **dict.fromkeys(("masked", "mask"), (True, 1)),
}
#: Types of parts with a text.
_TEXT_PARTS: Final = ("text", "input_text", "output_text", "refusal")
#: Keys of images and sounds beside the turns, and what stands for them in a turn.
_MEDIA_KEYS: Final = ("image", "images", "video", "videos", "audio", "audios")
_MEDIA_SIGNS: Final = ("<image>", "<video>", "<audio>", "<img>", "<image_placeholder>")
_EXPECTED_TURNS: Final = "a list of turns with role and content"


@dataclass(frozen=True, slots=True)
class Turn:
    """Words of one speaker."""

    role: str
    content: str
    #: Whether the model learns it.
    is_learned: bool = False


@dataclass(slots=True)
class Conversation:
    """Turns of one record, and what is not read of it."""

    turns: list[Turn]
    #: Names of fields that are not read; a field of a turn as `messages.name`.
    unread_fields: set[str] = field(default_factory=set)
    #: Number of turns of the assistant that only call tools.
    calls: int = 0


def find_messages_keys(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys whose messages make up the conversation, in order; empty without any."""
    present = {key for key, value in record.items() if _are_messages(value) or _are_plain_turns(key, value)}
    answers = [key for key in ANSWER_KEYS if key in present]
    for key in MESSAGES_KEYS:
        if key in present:
            return (key,)
    if answers:
        return ("prompt", answers[0]) if "prompt" in present else (answers[0],)
    return next(((key,) for key in record if key in present and key != "rejected"), ())


def parse_conversation(record: Any) -> Conversation:
    """Return the turns of a record; raises `DataRejected` for none or an invalid one."""
    keys = find_messages_keys(record) if isinstance(record, dict) else ()
    if not keys:
        raise DataRejected("conversation_invalid", actual=json.dumps(record, default=str), expected=_EXPECTED_TURNS)
    if (media := next((key for key in _MEDIA_KEYS if record.get(key)), None)) and _names_media(record[keys[0]]):
        expected = "conversations without images and sounds"
        raise DataRejected("conversation_with_media", actual=f"{media}: {record[media]}", expected=expected)
    conversation = Conversation([])
    turns = conversation.turns
    system = record.get("system")
    if isinstance(system, str) and system.strip():
        turns.append(Turn("system", system))
    prompt = record.get("prompt")
    is_prompt_text = keys[0] in ANSWER_KEYS and isinstance(prompt, str)
    if is_prompt_text and record[keys[0]][0].get("role") == "assistant":
        turns.append(Turn("user", prompt))
    else:
        is_prompt_text = False
    for key in keys:
        is_learned = key not in ("prompt",)
        for position, entry in enumerate(record[key]):
            if isinstance(entry, str) and _are_plain_turns(key, record[key]):
                entry = {"role": _ALTERNATING_ROLES[position % 2], "content": entry}
            turns.append(_parse_turn(len(turns) + 1, key, entry, conversation, is_learned=is_learned))
    used = {*keys, TREE_KEY, *(["system"] if isinstance(system, str) else []), *(["prompt"] if is_prompt_text else [])}
    conversation.unread_fields |= {name for name, value in record.items() if name not in used and value is not None}
    return conversation


def _names_media(turns: Sequence[Any]) -> bool:
    """Return whether a turn says where an image, a video or a sound belongs."""
    return any(sign in json.dumps(turn, default=str) for turn in turns for sign in _MEDIA_SIGNS)


def _are_messages(value: Any) -> bool:
    """Return whether a value is a list of messages, by its first entry."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return _key_of(value[0], _ROLE_KEYS) is not None and (_key_of(value[0], (*_CONTENT_KEYS, *_CALLS_KEYS)) is not None)


def _are_plain_turns(key: str, value: Any) -> bool:
    """Return whether a list holds texts of alternating speakers, as in LIMA."""
    is_list = key in MESSAGES_KEYS and isinstance(value, list) and len(value) > 1
    return is_list and all(isinstance(text, str) for text in value)


def _key_of(entry: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    return next((key for key in keys if key in entry), None)


def _parse_turn(number: int, key: str, entry: Any, conversation: Conversation, *, is_learned: bool) -> Turn:
    def reject(actual: str, expected: str) -> DataRejected:
        return DataRejected("conversation_invalid", actual=f"turn {number}: {actual}", expected=expected)

    if not isinstance(entry, dict):
        raise reject(f"{entry!r}", "an object with role and content")
    role_key, content_key = _key_of(entry, _ROLE_KEYS), _key_of(entry, _CONTENT_KEYS)
    name = str(entry.get(role_key)) if role_key else "nothing"
    role = ROLES.get(name.strip().lower())
    if role is None:
        raise reject(f"role: {name}", ", ".join(ROLES))
    calls = [entry[name] for name in _CALLS_KEYS if entry.get(name)]
    content = _to_text(entry.get(content_key) if content_key else None, reject)
    if not content and isinstance(entry.get("refusal"), str):
        content = entry["refusal"]
    is_call = role == "call" or bool(calls)
    if not content.strip() and not calls:
        raise reject("empty content", "a text")
    used = {role_key, content_key, *_CALLS_KEYS, *_LEARNED_KEYS, "tool_call_id", "refusal"}
    ignored = {name for name, value in entry.items() if name not in used and value is not None}
    fractions = {name for name in ("weight", "loss_weight") if entry.get(name) not in (None, 0, 1)}
    conversation.unread_fields |= {f"{key}.{name}" for name in ignored | fractions}
    conversation.calls += is_call
    words = [content.strip(), *(json.dumps(_plain_call(call), ensure_ascii=False, default=str) for call in calls)]
    is_skipped = any(entry.get(name) in values for name, values in _LEARNED_KEYS.items() if entry.get(name) is not None)
    is_answer = role == "assistant" and not is_call and not is_skipped
    return Turn("assistant" if role == "call" else role, "\n".join(filter(None, words)), is_answer and is_learned)


def _plain_call(call: Any) -> Any:
    """Return the name and arguments of what is called, without ids."""
    if isinstance(call, list):
        return [_plain_call(item) for item in call]
    return call.get("function", call) if isinstance(call, dict) else call


def _to_text(content: Any, reject: Any) -> str:
    """Return the text of a content; raises `DataRejected` for parts that are no text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise reject(f"content: {content!r}", "a text")
    texts = []
    for part in content:
        text = part if isinstance(part, str) else _text_of_part(part)
        if text is None:
            raise DataRejected(
                "conversation_with_media", actual=json.dumps(part, default=str), expected="parts of text"
            )
        texts.append(text)
    return "\n".join(texts)


def _text_of_part(part: Any) -> str | None:
    if not isinstance(part, dict) or part.get("type", "text") not in _TEXT_PARTS:
        return None
    text = part.get("text", part.get("refusal"))
    return text if isinstance(text, str) else None
