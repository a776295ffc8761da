"""Documents to the native inputs, and embeddings to their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.openai.fields import invalid_field
from app.predict.client_paths import client_paths
from app.predict.similarity import cosine_similarities, to_relevance
from ml.errors import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.rerank.schemas import RerankRequest
    from app.serving.service import PredictService

_EMBEDDING: Final = {"return": "embedding"}


async def rank(service: PredictService, request: RerankRequest) -> dict[str, Any]:
    """Return model, results, usage and warnings of `Ranking` as JSON values.

    Raises the errors of `PredictService.predict`, and `ProblemError` 422 for a model that embeds no texts.
    """
    await _check_model(service, request)
    texts = [request.query, *request.documents]
    with client_paths(_path_of):
        result = await service.predict(request.model, [{"text": text} for text in texts], parameters=_EMBEDDING)
    tokens = await service.count_tokens(result.served, texts)
    return {
        "model": f"{result.served.name}@{result.served.version}",
        "results": to_results(request, result.outputs),
        "warnings": _describe_truncation(result.outputs),
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }


def to_results(request: RerankRequest, outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the most similar documents first; equal ones keep their order."""
    query, *documents = (output["embedding"] for output in outputs)
    similarities = cosine_similarities(query, documents)
    order = sorted(range(len(documents)), key=lambda index: -similarities[index])
    return [
        {
            "index": index,
            "relevance_score": to_relevance(similarities[index]),
            **({"document": {"text": request.documents[index]}} if request.return_documents else {}),
        }
        for index in order[: request.top_n]
    ]


def _describe_truncation(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a warning for each text of which the beginning was read alone."""
    return [
        f"{_path_of(index, '')}: {truncated['kept']} of {truncated['of']} tokens were read"
        for index, output in enumerate(outputs)
        if (truncated := output.get("truncated"))
    ]


async def _check_model(service: PredictService, request: RerankRequest) -> None:
    predictor = (loaded := await service.load(request.model)).predictor
    if not predictor.reads_texts:
        hint = "Name a base model of texts or a text classifier."
        raise invalid_field("model", f"{loaded.served.name!r} embeds no texts", hint=hint)
    limit = request.max_tokens_per_doc
    if limit is not None and limit < predictor.max_tokens:
        message = f"must be at least {predictor.max_tokens}, the tokens that the model reads, not {limit}"
        raise invalid_field("max_tokens_per_doc", message, hint="Leave it out, or send shorter documents.")


def _path_of(index: int, path: str) -> str:
    if path.partition(".")[0] == PARAMETERS:
        return path
    return f"documents.{index - 1}" if index else "query"
