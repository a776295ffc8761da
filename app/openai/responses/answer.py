"""Answers of `/v1/responses`: whole ones, and those of a stream that has just begun."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from app.openai.generation import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.openai.responses.schemas import ResponseRequest
    from app.serving.types import ServedVersion


class ResponseAnswer:
    """The answer to one request, as JSON values of `ModelResponse`."""

    def __init__(self, request: ResponseRequest, served: ServedVersion, *, request_id: str) -> None:
        """`request_id` makes the ids of the answer and of its message."""
        self.message_id = f"msg_{request_id}"
        self._fields: Mapping[str, Any] = {
            "id": f"resp_{request_id}",
            "object": "response",
            "created_at": int(time.time()),
            "error": None,
            "model": f"{served.name}@{served.version}",
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "metadata": request.metadata or {},
            "user": request.user,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "truncation": request.truncation or "disabled",
            "previous_response_id": None,
            "store": False,
            "background": False,
            "tools": [],
            "tool_choice": request.tool_choice or "auto",
            "parallel_tool_calls": request.parallel_tool_calls is not False,
        }

    def start(self) -> dict[str, Any]:
        """Return the answer before its first token."""
        pending: dict[str, Any] = {"completed_at": None, "incomplete_details": None, "output": [], "usage": None}
        return {**self._fields, "status": "in_progress", **pending}

    def complete(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer with the whole output of `text_generation`."""
        usage = usage_of([output])
        return {
            **self._fields,
            "status": status_of(output),
            "completed_at": int(time.time()),
            "incomplete_details": {"reason": "max_output_tokens"} if output["finish_reason"] == "length" else None,
            "output": [self.message(output["text"], status=status_of(output))],
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
        }

    def message(self, text: str | None, *, status: str) -> dict[str, Any]:
        """Return the only message; without a text it has no content yet."""
        content = [] if text is None else [text_part(text)]
        return {"id": self.message_id, "type": "message", "role": "assistant", "status": status, "content": content}


def text_part(text: str) -> dict[str, Any]:
    """Return the part of a message that is its text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def status_of(output: Mapping[str, Any]) -> str:
    """Return the status of a text that has ended."""
    return "incomplete" if output["finish_reason"] == "length" else "completed"
