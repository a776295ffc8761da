"""Messages of a conversation, and the prompt text that they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

from pydantic import Field

from ml.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

SPEAKER_NAMES: Final = {
    "system": "System",
    "developer": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
}


class Speech(Protocol):
    """One turn of a conversation."""

    @property
    def role(self) -> str:
        """A key of `SPEAKER_NAMES`."""

    @property
    def content(self) -> str:
        """The words."""


class Message(Config):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str = Field(max_length=1_000_000)


def format_prompt(messages: Sequence[Speech]) -> str:
    """Return all messages with their speakers, and the start of the assistant's answer.

    ```
    User: Who wrote Hamlet?

    Assistant:
    ```
    """
    turns = [f"{SPEAKER_NAMES[message.role]}: {message.content.strip()}" for message in messages]
    return "\n\n".join([*turns, f"{SPEAKER_NAMES['assistant']}:"])
