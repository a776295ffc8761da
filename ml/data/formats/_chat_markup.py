"""Conversations that are written as one text: ChatML, Llama, Gemma, Alpaca, and names of speakers.

A text is split at the heads of its turns; what stands between two heads are the words of one speaker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Word of a head, in lower case -> role of the turn. An input belongs to the turn of the user before it.
_ROLES: Final = {
    **dict.fromkeys(("system", "context", "<<sys>>"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "instruction", "input", "question", "[inst]", "<</sys>>"), "user"),
    **dict.fromkeys(
        ("assistant", "model", "gpt", "bot", "response", "answer", "ai", "chatbot", "[/inst]"), "assistant"
    ),
    **dict.fromkeys(("tool", "ipython", "function", "environment"), "tool"),
}
#: Signs of the beginning and the end of texts and turns.
_SIGNS: Final = re.compile(
    r"<s>|</s>|<\|(?:begin_of_text|end_of_text|endoftext|eot_id|im_end|end|eot|eom_id)\|>|<end_of_turn>|<bos>|<eos>"
)
#: Fraction of the texts of a column that must be conversations.
_MIN_CONVERSATIONS: Final = 0.9


class _Head(NamedTuple):
    """Beginning of the turns of a markup."""

    name: str
    #: The beginning of a turn; its group is a key of `_ROLES`.
    pattern: re.Pattern[str]
    #: Whether a text must begin with a head, because the words of the heads stand in other texts as well.
    is_first: bool = False


_MARKUPS: Final = (
    _Head("ChatML", re.compile(r"<\|im_start\|>\s*(system|user|assistant|tool|human|function)\b[ \t]*\n?")),
    _Head("Llama 3", re.compile(r"<\|start_header_id\|>\s*(system|user|assistant|ipython|tool)\s*<\|end_header_id\|>")),
    _Head("Gemma", re.compile(r"<start_of_turn>\s*(user|model|system|tool)\b[ \t]*\n?")),
    _Head("Llama 2", re.compile(r"(\[/?INST\]|<</?SYS>>)")),
    _Head("tags of speakers", re.compile(r"<\|(system|user|assistant|prompter|human|tool)\|>", re.IGNORECASE)),
    _Head("tags of speakers", re.compile(r"<(system|user|assistant|human|bot)>:", re.IGNORECASE)),
    _Head(
        "### and the speaker",
        re.compile(
            r"(?:^|\n|(?<=\S)|(?<= ))###[ \t]*(System|User|Human|Assistant|Instruction|Input|Context|Question|Response"
            r"|Answer)[ \t]*:",
            re.IGNORECASE,
        ),
    ),
    _Head("names of speakers", re.compile(r"(?:^|\n)[ \t]*(System|User|Human|Assistant|AI|Bot|GPT|Chatbot):"), True),
    _Head("names of speakers", re.compile(r"(?:^|(?<=\s)|(?<=</s>))(SYSTEM|USER|HUMAN|ASSISTANT):"), True),
)


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """Words of one speaker."""

    role: str
    content: str

    @property
    def is_learned(self) -> bool:
        """True if the model learns it."""
        return self.role == "assistant"


@dataclass(frozen=True, slots=True)
class ChatMarkup:
    """Markup of conversations that are written as one text."""

    head: _Head

    @property
    def name(self) -> str:
        """Name in reports."""
        return self.head.name

    def parse(self, text: str) -> list[ChatTurn]:
        """Return the turns of a text; empty if it is no conversation.

        Words before the first turn are those of the system.
        """
        pieces = self.head.pattern.split(text.replace("\r\n", "\n"))
        introduction = _strip(pieces[0])
        if len(pieces) == 1 or (introduction and self.head.is_first):
            return []
        turns = [ChatTurn("system", introduction)] if introduction else []
        for word, content in zip(pieces[1::2], pieces[2::2], strict=True):
            words, role = _strip(content), _ROLES[word.lower()]
            if not words:
                continue
            if turns and turns[-1].role == role:
                turns[-1] = ChatTurn(role, f"{turns[-1].content}\n\n{words}")
            else:
                turns.append(ChatTurn(role, words))
        return turns

    def is_chat(self, text: str) -> bool:
        """Return whether a user speaks in a text, and the assistant answers."""
        roles = [turn.role for turn in self.parse(text)]
        return "user" in roles and "assistant" in roles[roles.index("user") :]

    def is_prompt(self, text: str) -> bool:
        """Return whether a text ends where the assistant is to answer."""
        turns = self.parse(text)
        return bool(turns) and turns[-1].role == "user"


def find_chat_markup(texts: Iterable[str]) -> ChatMarkup | None:
    """Return the markup in which nearly all texts are conversations; None without one."""
    return _find(texts, lambda markup, text: markup.is_chat(text))


def find_prompt_markup(texts: Iterable[str]) -> ChatMarkup | None:
    """Return the markup in which nearly all texts are conversations that lack their last answer."""
    return _find(texts, lambda markup, text: markup.is_prompt(text))


def _find(texts: Iterable[str], fits: Callable[[ChatMarkup, str], bool]) -> ChatMarkup | None:
    stripped: Sequence[str] = [text for text in texts if text.strip()]
    for head in _MARKUPS:
        markup = ChatMarkup(head)
        count = sum(fits(markup, text) for text in stripped)
        if stripped and count >= _MIN_CONVERSATIONS * len(stripped):
            return markup
    return None


def _strip(content: str) -> str:
    return _SIGNS.sub("", content).strip()
