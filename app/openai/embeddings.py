"""Embeddings: texts to the native inputs, and vectors to the protocol's two formats."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, Final

from app.openai.fields import names_in_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.openai.schemas import EmbeddingsRequest
    from app.serving.service import PredictService

_NAMES: Final = {"": "input.{index}", "text": "input.{index}", "return": "model"}


async def embed(service: PredictService, request: EmbeddingsRequest) -> dict[str, Any]:
    """Return `Embeddings` as JSON values; raises the errors of `PredictService.predict`."""
    inputs = [{"text": text} for text in request.input]
    with names_in_errors(_NAMES):
        result = await service.predict(request.model, inputs, parameters={"return": "embedding"})
    tokens = await service.count_tokens(result.served, request.input)
    encode = _to_base64 if request.encoding_format == "base64" else _to_floats
    return {
        "object": "list",
        "model": f"{result.served.name}@{result.served.version}",
        "data": [
            {"object": "embedding", "index": index, "embedding": encode(output["embedding"])}
            for index, output in enumerate(result.outputs)
        ],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }


def _to_base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _to_floats(vector: Sequence[float]) -> list[float]:
    return list(vector)
