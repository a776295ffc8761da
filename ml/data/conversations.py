"""Turns of a conversation, and the one way in which they are written as a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from ml.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

SPEAKERS: Final = {"system": "System", "user": "User", "assistant": "Assistant"}


class Message(Config):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=1_000_000)


def prompt_of(messages: Sequence[Message]) -> str:
    """All turns, each with who speaks, and the beginning of the assistant's answer.

    ```
    User: Who wrote Hamlet?

    Assistant:
    ```
    """
    turns = [f"{SPEAKERS[message.role]}: {message.content.strip()}" for message in messages]
    return "\n\n".join([*turns, f"{SPEAKERS['assistant']}:"])
