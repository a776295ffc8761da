"""Fields with one possible value, and the parts of a message."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.openai.schemas import ChatCompletionRequest

CONVERSATION: dict[str, Any] = {"model": "poems", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}},
        {"tool_choice": "none"},
        {"modalities": ["text"]},
        {"prediction": None},
        {"tools": []},
    ],
)
def test_a_value_that_changes_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert ChatCompletionRequest.model_validate({**CONVERSATION, **fields})


@pytest.mark.parametrize(
    "fields", [{"response_format": {"type": "json_object"}}, {"tool_choice": "auto"}, {"modalities": ["audio"]}]
)
def test_a_value_that_would_change_the_reply_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="only null is supported here"):
        ChatCompletionRequest.model_validate({**CONVERSATION, **fields})


def test_a_part_that_is_no_text_is_refused_by_its_type() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    with pytest.raises(ValidationError, match=r"\(image_url\).*parts of the type text alone"):
        ChatCompletionRequest.model_validate(
            {**CONVERSATION, "messages": [{"role": "user", "content": parts}]},
        )
