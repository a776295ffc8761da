"""Fields with one possible value, and the parts of a message."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
from openai.types import completion_create_params as completions
from openai.types import embedding_create_params as embeddings
from openai.types import image_generate_params as images
from openai.types import moderation_create_params as moderations
from openai.types.audio import speech_create_params as speech
from openai.types.audio import transcription_create_params as transcriptions
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses
from pydantic import BaseModel, ValidationError

from app.http.errors import ProblemError
from app.openai.embeddings import to_answer
from app.openai.media.schemas import ImageRequest, SpeechRequest, TranscriptionRequest
from app.openai.responses.schemas import ResponseRequest
from app.openai.schemas import (
    ChatCompletionRequest,
    CompletionRequest,
    EmbeddingsRequest,
    ModerationRequest,
)

#: The fields that the newest client can send, and the request that reads them.
CLIENT_FIELDS: list[tuple[type, type[BaseModel]]] = [
    (chat.CompletionCreateParamsNonStreaming, ChatCompletionRequest),
    (completions.CompletionCreateParamsNonStreaming, CompletionRequest),
    (embeddings.EmbeddingCreateParams, EmbeddingsRequest),
    (moderations.ModerationCreateParams, ModerationRequest),
    (images.ImageGenerateParamsNonStreaming, ImageRequest),
    (responses.ResponseCreateParamsNonStreaming, ResponseRequest),
    (transcriptions.TranscriptionCreateParamsNonStreaming, TranscriptionRequest),
    (speech.SpeechCreateParams, SpeechRequest),
]
CONVERSATION: dict[str, Any] = {"model": "poems", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(("sent", "request_type"), CLIENT_FIELDS)
def test_every_field_of_the_client_is_followed_or_refused_with_a_reason(
    sent: type, request_type: type[BaseModel]
) -> None:
    assert get_type_hints(sent).keys() - {"file"} <= request_type.model_fields.keys()


def test_the_own_width_of_embeddings_is_accepted() -> None:
    served = SimpleNamespace(name="reviews", version=1)
    outputs = [{"embedding": [0.5, 0.25]}]
    same = EmbeddingsRequest(model="reviews", input="a", dimensions=2)  # type: ignore[arg-type]  # a text is a list
    assert to_answer(same, served, outputs, tokens=1)["data"][0]["embedding"] == [0.5, 0.25]  # type: ignore[arg-type]
    other = same.model_copy(update={"dimensions": 1})
    with pytest.raises(ProblemError, match="have the width 2"):
        to_answer(other, served, outputs, tokens=1)  # type: ignore[arg-type]  # two fields are enough


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}},
        {"reasoning_effort": "none"},
        {"verbosity": "medium"},
        {"tool_choice": "none"},
        {"modalities": ["text"]},
        {"prediction": None},
        {"tools": []},
    ],
)
def test_a_value_that_changes_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert ChatCompletionRequest.model_validate({**CONVERSATION, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "auto"},
        {"modalities": ["audio"]},
        {"reasoning_effort": "high"},
        {"web_search_options": {"a": 1}},
    ],
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
