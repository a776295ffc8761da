"""Texts as clients of the protocol read them: whole, or in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from app.http.errors import openai_error
from app.openai import log_probs
from app.openai.generation import usage_of
from app.serving.streaming import PieceWithLogProbs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.http.errors import ProblemError
    from app.openai.generation import Envelope

DONE: Final = b"data: [DONE]\n\n"


class CompletionChunks:
    """Form of a continued text."""

    object = "text_completion"
    #: Begins the id of an answer.
    prefix = "cmpl"

    def __init__(self, envelope: Envelope, *, has_usage: bool) -> None:
        """`has_usage` adds a chunk with the number of tokens before the end."""
        self._fields = {**envelope.fields, "object": self.object}
        self._has_usage = has_usage

    @classmethod
    def choice(cls, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return a choice with a whole text, from an output of `text_generation`."""
        tokens = output.get("logprobs")
        logged = None if tokens is None else cls.log_probs(tokens)
        return {**cls.content(output["text"]), "logprobs": logged, "finish_reason": output["finish_reason"]}

    @staticmethod
    def content(text: str) -> dict[str, Any]:
        """Return the field of a choice that holds a whole text."""
        return {"text": text}

    @staticmethod
    def log_probs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the field of a choice that holds log-probabilities."""
        return log_probs.to_completion(tokens)

    def start(self) -> bytes:
        """Return a comment: the text begins with its first piece."""
        return b": ok\n\n"

    def piece(self, text: str) -> bytes:
        """Return the chunk of a piece of text."""
        logged = {"logprobs": self.log_probs(text.log_probs)} if isinstance(text, PieceWithLogProbs) else {}
        return self._chunk({**self._choice(text, None), **logged})

    def end(self, output: dict[str, Any]) -> bytes:
        """Return the reason of the end, perhaps `usage`, and the mark of the end."""
        last = self._chunk(self._choice("", output["finish_reason"]))
        usage = self._chunk(None, usage=usage_of([output])) if self._has_usage else b""
        return last + usage + DONE

    def error(self, problem: ProblemError) -> bytes:
        """Return an error, which clients raise; no mark of the end follows."""
        return _data({"error": openai_error(problem).model_dump(mode="json")})

    def _choice(self, text: str, finish_reason: str | None) -> dict[str, Any]:
        return {"text": text, "finish_reason": finish_reason}

    def _chunk(self, choice: dict[str, Any] | None, *, usage: dict[str, int] | None = None) -> bytes:
        choices = [] if choice is None else [{"index": 0, "logprobs": None, **choice}]
        return _data({**self._fields, "choices": choices, "usage": usage})


class ChatChunks(CompletionChunks):
    """Form of a reply; the first chunk names the speaker."""

    object = "chat.completion.chunk"
    prefix = "chatcmpl"

    @staticmethod
    def log_probs(tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the field of a choice that holds log-probabilities."""
        return log_probs.to_chat(tokens)

    @staticmethod
    def content(text: str) -> dict[str, Any]:
        """Return the message of a choice that holds a whole reply."""
        return {"message": {"content": text}}

    def start(self) -> bytes:
        """Return the role of the message."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}, "finish_reason": None})

    def _choice(self, text: str, finish_reason: str | None) -> dict[str, Any]:
        return {"delta": {} if finish_reason else {"content": text}, "finish_reason": finish_reason}


def _data(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(value)
