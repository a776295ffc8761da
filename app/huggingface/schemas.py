"""Schemas of text-embeddings-inference, and of generation where the path names the model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from app.openai.schemas import ChatCompletionRequest, CompletionRequest, EmbeddingsRequest

_IN_PATH = Field("", max_length=2000, description="Not read: the path names the model.")


class ModelChatRequest(ChatCompletionRequest):
    """A conversation to reply to by the model of the path."""

    model: str = _IN_PATH


class ModelCompletionRequest(CompletionRequest):
    """Texts to continue by the model of the path."""

    model: str = _IN_PATH


class ModelEmbeddingsRequest(EmbeddingsRequest):
    """Texts to embed by the model of the path."""

    model: str = _IN_PATH


class TextEmbeddingsInfo(BaseModel):
    """A model, as clients ask before they send texts."""

    model_id: str = Field(description="`name@version`")
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any] = Field(description="`classifier` with its classes, or `embedding`.")
    max_concurrent_requests: int
    max_input_length: int = Field(description="Tokens of a text that are read; 0 for a model of no texts.")
    max_batch_tokens: int
    max_client_batch_size: int = Field(description="Texts of a request.")
    auto_truncate: bool
    tokenization_workers: int
    version: str


class TextToken(BaseModel):
    """A token, and its place in the text in characters."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None
