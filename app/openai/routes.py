"""Routes of the OpenAI protocol."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
from fastapi import APIRouter, Body, Request
from starlette.responses import Response, StreamingResponse

from app.dependencies import ModelReference, PredictServiceDep, SessionDep
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.openai.chunks import ChatChunks, CompletionChunks
from app.openai.embeddings import embed
from app.openai.generation import Envelope, Generation, usage_of
from app.openai.moderation import moderate
from app.openai.schemas import (
    ChatCompletion,
    ChatCompletionRequest,
    Completion,
    CompletionRequest,
    Embeddings,
    EmbeddingsRequest,
    ListedModel,
    ListedModels,
    Moderation,
    ModerationRequest,
    ReadyModel,
    SystemOneModel,
    VersionStatus,
)
from app.predict.event_stream import MEDIA_TYPE, STREAM_HEADERS, to_events
from app.predict.handler import PREDICTION_PROBLEMS, RESPONSE_TYPE
from app.serving.access import check_model, listed_names
from store import models

if TYPE_CHECKING:
    from app.openai.schemas import GenerationRequest
    from app.serving.service import PredictService
    from store.tables import Model as ModelRow

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JSONRoute)

#: Models that are read at a time.
PAGE_MODELS: Final = 200

_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS)
_TEXT_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS, "context_length_exceeded")
_STREAMED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    **_TEXT_PROBLEMS,
}
_EMBEDDING_EXAMPLES: Any = {
    "texts": {"summary": "Two texts", "value": {"model": "reviews", "input": ["A quiet film.", "A loud film."]}}
}
_COMPLETION_EXAMPLES: Any = {
    "text": {"summary": "Continue a text", "value": {"model": "stories", "prompt": "Once upon", "max_tokens": 8}}
}
_CHAT_EXAMPLES: Any = {
    "question": {
        "summary": "Reply to a question",
        "value": {"model": "stories", "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 8},
    }
}

_MODERATION_EXAMPLES: Any = {
    "levels": {
        "summary": "Levels of severity, of which 0 is harmless",
        "value": {"model": "reviews", "input": "A quiet film.", "harmless": ["0"]},
    }
}


@router.get("/models")
def list_openai_models(session: SessionDep) -> ListedModels:
    """List all models by name, newest first.

    Clients of the protocol use `base_url="http://127.0.0.1:8000/v1"` and the same key.
    """
    listed: list[ListedModel] = []
    cursor: str | None = None
    while True:
        page = models.listing(session, limit=PAGE_MODELS, cursor=cursor, among=listed_names(session))
        listed += [_to_listed(models.version(session, row.name), row.name) for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return ListedModels(data=listed, models=[_to_system_one(model) for model in listed])


@router.get("/models/{model}", responses=problem_responses("not_found"))
def read_openai_model(model: ModelReference, session: SessionDep) -> ReadyModel:
    """Read a model, in the version that its name, number or alias means.

    Clients of KServe (version 1) and TF Serving ask here whether it is ready, too.
    """
    row = models.version(session, model)
    check_model(row.name)
    listed = _to_listed(row, model)
    status = VersionStatus(version=str(row.version))
    return ReadyModel(**listed.model_dump(), name=row.name, model_version_status=[status])


@router.post("/embeddings", response_model=Embeddings, responses=_TEXT_PROBLEMS)
async def create_embeddings(
    body: Annotated[EmbeddingsRequest, Body(openapi_examples=_EMBEDDING_EXAMPLES)], service: PredictServiceDep
) -> Response:
    """Embed texts with any model that reads texts: a base model, or a classifier."""
    return Response(orjson.dumps(await embed(service, body)), media_type=RESPONSE_TYPE)


@router.post("/completions", response_model=Completion, responses=_STREAMED)
async def create_completion(
    request: Request,
    body: Annotated[CompletionRequest, Body(openapi_examples=_COMPLETION_EXAMPLES)],
    service: PredictServiceDep,
) -> Any:
    """Continue texts with a model of the task `text_generation`; `"stream": true` streams one."""
    inputs = [{"prompt": prompt} for prompt in body.prompt]
    generation = Generation(body, inputs, limit_field="max_tokens", names={"prompt": "prompt.{index}"})
    if body.stream:
        return await _stream(generation, service, body, request, chunks=CompletionChunks)
    return await _generate(generation, service, request, chunks=CompletionChunks)


@router.post("/chat/completions", response_model=ChatCompletion, responses=_STREAMED)
async def create_chat_completion(
    request: Request,
    body: Annotated[ChatCompletionRequest, Body(openapi_examples=_CHAT_EXAMPLES)],
    service: PredictServiceDep,
) -> Any:
    """Reply to a conversation with a model of the task `text_generation`; `"stream": true` streams."""
    limit_field = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    inputs = [{"messages": [message.model_dump() for message in body.messages]}]
    generation = Generation(body, inputs, limit_field=limit_field, names={})
    if body.stream:
        return await _stream(generation, service, body, request, chunks=ChatChunks)
    return await _generate(generation, service, request, chunks=ChatChunks)


@router.post("/moderations", response_model=Moderation, responses=_PROBLEMS)
async def create_moderation(
    request: Request,
    body: Annotated[ModerationRequest, Body(openapi_examples=_MODERATION_EXAMPLES)],
    service: PredictServiceDep,
) -> Any:
    """Flag texts with any text classifier: each class that is not harmless is a category."""
    moderation = await moderate(service, body, request_id=request.state.request_id)
    return Response(orjson.dumps(moderation), media_type=RESPONSE_TYPE)


async def _generate(
    generation: Generation, service: PredictService, request: Request, *, chunks: type[CompletionChunks]
) -> dict[str, Any]:
    result = await generation.run(service)
    choices = [{"index": index, **chunks.choice(output)} for index, output in enumerate(result.outputs)]
    envelope = Envelope(result.served, prefix=chunks.prefix, request_id=request.state.request_id)
    return {**envelope.fields, "choices": choices, "usage": usage_of(result.outputs)}


async def _stream(
    generation: Generation,
    service: PredictService,
    body: GenerationRequest,
    request: Request,
    *,
    chunks: type[CompletionChunks],
) -> StreamingResponse:
    served, pieces = await generation.stream(service)
    envelope = Envelope(served, prefix=chunks.prefix, request_id=request.state.request_id)
    has_usage = bool(body.stream_options and body.stream_options.include_usage)
    events = to_events(pieces, chunks(envelope, has_usage=has_usage))
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=STREAM_HEADERS)


def _to_system_one(model: ListedModel) -> SystemOneModel:
    released = datetime.fromtimestamp(model.created, UTC).date().isoformat()
    return SystemOneModel(name=model.id, description=model.task or "base model", release_date=released)


def _to_listed(row: ModelRow, reference: str) -> ListedModel:
    return ListedModel(id=reference, created=int(row.created_at.timestamp()), task=row.task)
