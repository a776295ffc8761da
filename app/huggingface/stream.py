"""Events of a text that is being generated, as text-generation-inference sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from app.huggingface.pipelines.generation import FINISH_REASONS, to_tokens
from app.serving.streaming import PieceWithLogProbs

if TYPE_CHECKING:
    from app.http.errors import ProblemError


class TokenEvents:
    """An event for each piece, and a last one with the whole text.

    With details, an event is a token. Without them a piece is some characters, which have no id or probability.
    """

    def __init__(self) -> None:
        self._count = 0

    def start(self) -> bytes:
        """Return a comment: the text begins with its first piece."""
        return b": ok\n\n"

    def piece(self, text: str) -> bytes:
        """Return the event of a piece of text, or those of its tokens."""
        # The end of a token that might have begun a stop string comes without another token.
        if isinstance(text, PieceWithLogProbs) and text.log_probs:
            return b"".join(self._token_event(token) for token in to_tokens(text, text.log_probs))
        return self._event(text, generated_text=None, details=None)

    def end(self, output: dict[str, Any]) -> bytes:
        """Return the event with the whole text, and how it ended."""
        details = {
            "finish_reason": FINISH_REASONS[output["finish_reason"]],
            "generated_tokens": output["new_tokens"],
            "input_length": output["prompt_tokens"],
            "seed": output["seed"],
        }
        return self._event("", generated_text=output["text"], details=details)

    def error(self, problem: ProblemError) -> bytes:
        """Return an error, which clients raise."""
        return _data({"error": problem.detail, "error_type": "generation"})

    def _event(self, text: str, *, generated_text: str | None, details: dict[str, Any] | None) -> bytes:
        token = {"id": None, "text": text, "logprob": None, "special": generated_text is not None}
        return self._token_event(token, generated_text=generated_text, details=details)

    def _token_event(
        self, token: dict[str, Any], *, generated_text: str | None = None, details: dict[str, Any] | None = None
    ) -> bytes:
        self._count += 1
        return _data({"index": self._count, "token": token, "generated_text": generated_text, "details": details})


def _data(value: dict[str, Any]) -> bytes:
    return b"data:%b\n\n" % orjson.dumps(value)
