"""Embeddings: texts to the native inputs, and vectors to the protocol's two formats."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, Final

from app.openai.fields import invalid_field, names_in_errors, too_long
from app.openai.required_task import require_texts
from app.predict.handler import PredictInputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.openai.schemas import EmbeddingsRequest
    from app.serving.service import PredictService
    from app.serving.types import ServedVersion

_NAMES: Final = {"": "input.{index}", "text": "input.{index}", "return": "model"}


async def embed(service: PredictService, request: EmbeddingsRequest) -> dict[str, Any]:
    """Return `Embeddings` as JSON values; raises the errors of `PredictService.predict`."""
    inputs, parameters = to_inputs(request)
    await require_texts(service, request.model)
    with names_in_errors(_NAMES):
        result = await service.predict(request.model, inputs, parameters=parameters)
    tokens = await service.count_tokens(result.served, request.input)
    return to_answer(request, result.served, result.outputs, tokens=tokens)


def to_inputs(request: EmbeddingsRequest) -> PredictInputs:
    """Return the inputs of `/predict`, and its parameters."""
    return PredictInputs([{"text": text} for text in request.input], {"return": "embedding"})


def to_answer(
    request: EmbeddingsRequest, served: ServedVersion, outputs: Sequence[Mapping[str, Any]], *, tokens: int
) -> dict[str, Any]:
    """Return `Embeddings` as JSON values; `tokens` are those of all texts.

    Raises `ProblemError` 400 for a text that the model reads in part, as clients of this protocol expect, and 422 for
    another width than the model has.
    """
    for index, output in enumerate(outputs):
        if truncated := output.get("truncated"):
            raise too_long(f"input.{index}", length=truncated["of"], limit=truncated["kept"])
    width = len(outputs[0]["embedding"])
    if request.dimensions not in (None, width):
        message = f"{request.dimensions} is not supported: embeddings of {served.name} have the width {width}"
        raise invalid_field("dimensions", message, hint="Leave `dimensions` out.")
    encode = _to_base64 if request.encoding_format == "base64" else _to_floats
    return {
        "object": "list",
        "model": f"{served.name}@{served.version}",
        "data": [
            {"object": "embedding", "index": index, "embedding": encode(output["embedding"])}
            for index, output in enumerate(outputs)
        ],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }


def _to_base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _to_floats(vector: Sequence[float]) -> list[float]:
    return list(vector)
