"""Events of a streamed response, by their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from app.http.errors import openai_error
from app.openai.responses.answer import status_of, text_part

if TYPE_CHECKING:
    from app.http.errors import ProblemError
    from app.openai.responses.answer import ResponseAnswer


class ResponseEvents:
    """Events from `response.created` to `response.completed` or `response.incomplete`."""

    def __init__(self, answer: ResponseAnswer) -> None:
        """`answer` makes the parts of events."""
        self._answer = answer
        self._place = {"item_id": answer.message_id, "output_index": 0, "content_index": 0}
        self._number = 0

    def start(self) -> bytes:
        """Return the events before the first piece: the answer, its message and its part."""
        beginning = self._answer.start()
        item = self._answer.message(None, status="in_progress")
        return b"".join(
            [
                self._event("response.created", response=beginning),
                self._event("response.in_progress", response=beginning),
                self._event("response.output_item.added", output_index=0, item=item),
                self._event("response.content_part.added", **self._place, part=text_part("")),
            ]
        )

    def piece(self, text: str) -> bytes:
        """Return the event of a piece of text."""
        return self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def end(self, output: dict[str, Any]) -> bytes:
        """Return the events that close what `start` began, the whole answer last."""
        text, status = output["text"], status_of(output)
        item = self._answer.message(text, status=status)
        return b"".join(
            [
                self._event("response.output_text.done", **self._place, text=text, logprobs=[]),
                self._event("response.content_part.done", **self._place, part=text_part(text)),
                self._event("response.output_item.done", output_index=0, item=item),
                self._event(f"response.{status}", response=self._answer.complete(output)),
            ]
        )

    def error(self, problem: ProblemError) -> bytes:
        """Return an error, which clients raise for its member `error`."""
        error = openai_error(problem).model_dump(mode="json")
        return self._event("error", code=error["code"], message=error["message"], param=error["param"], error=error)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
