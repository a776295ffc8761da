"""Routes of the protocols of Hugging Face."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Request
from starlette.responses import Response, StreamingResponse

from app.dependencies import ModelReference, PredictServiceDep, SettingsDep
from app.http.errors import ProblemError, problem_responses
from app.http.request_body import JSONRoute, is_json, read_limited
from app.http.strict_json import strict_json
from app.huggingface.pipelines import NAMED_PIPELINES, PIPELINES
from app.huggingface.pipelines.base import INPUTS, PipelineRequest, check_members, invalid, respond
from app.huggingface.pipelines.classification import TextPrediction
from app.huggingface.pipelines.embedding import NormalizedEmbedding, Reranking, SentenceSimilarity
from app.huggingface.pipelines.generation import STREAM
from app.huggingface.schemas import (
    ModelChatRequest,
    ModelCompletionRequest,
    ModelEmbeddingsRequest,
    TextEmbeddingsInfo,
    TextToken,
)
from app.huggingface.stream import TokenEvents
from app.huggingface.text_embeddings import to_info
from app.openai.required_task import require_texts
from app.openai.routes import create_chat_completion, create_completion, create_embeddings
from app.openai.schemas import ChatCompletion, Completion, Embeddings
from app.predict.client_paths import client_paths
from app.predict.event_stream import MEDIA_TYPE, STREAM_HEADERS, to_events
from app.predict.handler import PREDICTION_PROBLEMS
from ml.errors import shorten

if TYPE_CHECKING:
    from app.huggingface.pipelines.base import Pipeline
    from app.serving.service import PredictService

router = APIRouter(prefix="/hf", tags=["hugging face"], route_class=JSONRoute)

#: Characters of all texts of a request whose tokens are listed.
MAX_TOKENIZED_CHARACTERS: Final = 1_000_000

PipelineName = Annotated[
    str,
    Path(
        pattern="^[a-z-]{1,60}$",
        examples=["feature-extraction"],
        description="`feature-extraction`, `sentence-similarity`, or any other for the pipeline of the model's task.",
    ),
]

_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS)
_IMAGE: Final = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGM8wQABTAwUMQA6AADYhMgK6QAAAABJRU5ErkJggg=="
_TEXT_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS, "context_length_exceeded")
_STREAMED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    **_TEXT_PROBLEMS,
}
_EMBEDDING_EXAMPLES: Any = {
    "text_classification": {"summary": "Embed two texts", "value": {"input": ["a film", "a song"]}}
}
_COMPLETION_EXAMPLES: Any = {
    "text_generation": {"summary": "Continue a text", "value": {"prompt": "Once upon", "max_tokens": 8}}
}
_RERANK_BODY: Any = {
    "schema": {"type": "object"},
    "examples": {
        "text_classification": {
            "summary": "Rank two texts",
            "value": {"query": "a film", "texts": ["a song", "a movie"]},
        }
    },
}
_CHAT_EXAMPLES: Any = {
    "text_generation": {
        "summary": "Reply to a question",
        "value": {"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 8},
    }
}


def _body(task: str, summary: str, **members: Any) -> dict[str, Any]:
    """Describe a JSON body with one example, for a model of a task."""
    examples = {task: {"summary": summary, "value": members}}
    content = {"application/json": {"schema": {"type": "object"}, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/{model}", openapi_extra=_body("image_classification", "Classify an image", inputs=_IMAGE), responses=_PROBLEMS
)
async def run_pipeline(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Any:
    """Run the pipeline of a model's task.

    Send one file as the body, or JSON with `inputs` and `parameters`, as
    `InferenceClient(model="http://127.0.0.1:8000/hf/reviews", token=KEY)` does. Parameters that the pipeline does not
    know are those of `/predict`.
    """
    call = _parse(request, await read_limited(request, settings.max_predict_bytes))
    served = await service.names.resolve(model)
    pipeline = PIPELINES.get(served.task)
    if pipeline is None:
        message = f"{served.name!r} has the task {served.task}, for which these clients have no call"
        raise invalid(message, hint=f"Use POST /predict/{model}.")
    return await _run(service, model, pipeline, call)


@router.post(
    "/{model}/pipeline/{pipeline}",
    openapi_extra=_body("text_classification", "Embed a text by a classifier", inputs="a film"),
    responses=_PROBLEMS,
)
async def run_named_pipeline(
    model: ModelReference, pipeline: PipelineName, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Any:
    """Run a pipeline by its name, such as embeddings by a classifier."""
    if pipeline not in NAMED_PIPELINES:
        return await run_pipeline(model, request, service, settings)
    call = _parse(request, await read_limited(request, settings.max_predict_bytes))
    return await _run(service, model, NAMED_PIPELINES[pipeline], call)


@router.post(
    "/{model}/v1/chat/completions",
    response_model=ChatCompletion,
    responses=_STREAMED,
)
async def chat_with_model(
    model: ModelReference,
    request: Request,
    body: Annotated[ModelChatRequest, Body(openapi_examples=_CHAT_EXAMPLES)],
    service: PredictServiceDep,
) -> Any:
    """Reply to a conversation, as `/v1/chat/completions` does; the model is that of the path."""
    return await create_chat_completion(request, body.model_copy(update={"model": model}), service)


@router.post("/{model}/v1/completions", response_model=Completion, responses=_STREAMED)
async def complete_with_model(
    model: ModelReference,
    request: Request,
    body: Annotated[ModelCompletionRequest, Body(openapi_examples=_COMPLETION_EXAMPLES)],
    service: PredictServiceDep,
) -> Any:
    """Continue a text, as `/v1/completions` does; the model is that of the path."""
    return await create_completion(request, body.model_copy(update={"model": model}), service)


@router.post("/{model}/v1/embeddings", response_model=Embeddings, responses=_TEXT_PROBLEMS)
async def embed_with_model(
    model: ModelReference,
    body: Annotated[ModelEmbeddingsRequest, Body(openapi_examples=_EMBEDDING_EXAMPLES)],
    service: PredictServiceDep,
) -> Response:
    """Embed texts, as `/v1/embeddings` does; the model is that of the path."""
    return await create_embeddings(body.model_copy(update={"model": model}), service)


@router.get("/{model}/info", responses=_PROBLEMS)
async def read_text_embeddings_info(model: ModelReference, service: PredictServiceDep) -> TextEmbeddingsInfo:
    """Describe a model as text-embeddings-inference does."""
    return to_info(await service.load(model))


@router.get("/{model}/health", response_class=Response, responses=_PROBLEMS)
async def read_model_health(model: ModelReference, service: PredictServiceDep) -> Response:
    """Return 200 if a model can be used; it is loaded if necessary."""
    await service.load(model)
    return Response()


@router.post(
    "/{model}/embed",
    openapi_extra=_body("text_classification", "Embed two texts", inputs=["a film", "a song"]),
    responses=_PROBLEMS,
)
async def embed_texts(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Any:
    """Return a vector for each text.

    It has the length 1, unless the request has `"normalize": false`.
    """
    call = _parse(request, await read_limited(request, settings.max_predict_bytes))
    if not isinstance(call.inputs, bytes):
        await require_texts(service, model)
    return await _run(service, model, NormalizedEmbedding(), call)


@router.post(
    "/{model}/predict",
    openapi_extra=_body("text_classification", "Classify a text", inputs="a film"),
    responses=_PROBLEMS,
)
async def predict_texts(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Any:
    """Return the scores of all classes for a text, or for each of a list."""
    call = _parse(request, await read_limited(request, settings.max_predict_bytes))
    served = await service.names.resolve(model)
    if served.task != TextPrediction.task:
        kind = f"has the task {served.task}" if served.task else "is a base model"
        hint = f"Use POST /hf/{model}/embed for vectors, POST /predict/{model}, or a model of {TextPrediction.task}."
        raise invalid(f"{served.name!r} {kind}; it has no classes of texts", hint=hint)
    return await _run(service, model, TextPrediction(), call)


@router.post(
    "/{model}/similarity",
    openapi_extra=_body(
        "text_classification", "Compare texts", inputs={"source_sentence": "a film", "sentences": ["a movie", "a song"]}
    ),
    responses=_PROBLEMS,
)
async def compare_texts(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Any:
    """Return the cosine similarity of each sentence to the source."""
    call = _parse(request, await read_limited(request, settings.max_predict_bytes))
    await require_texts(service, model)
    return await _run(service, model, SentenceSimilarity(), call)


@router.post(
    "/{model}/rerank",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": _RERANK_BODY}}},
    responses=_PROBLEMS,
)
async def rerank_texts(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> Any:
    """Rank texts by the cosine similarity of their embeddings to that of a query."""
    call = _parse(request, await read_limited(request, settings.max_predict_bytes))
    await require_texts(service, model)
    return await _run(service, model, Reranking(), call)


@router.post(
    "/{model}/tokenize",
    openapi_extra=_body("text_classification", "Tokens of a text", inputs="a film"),
    responses=_PROBLEMS,
)
async def tokenize_texts(
    model: ModelReference, request: Request, service: PredictServiceDep, settings: SettingsDep
) -> list[list[TextToken]]:
    """Return the tokens of each text, uncut."""
    call = _parse(request, await read_limited(request, settings.max_json_bytes))
    check_members(call, ["add_special_tokens"])
    has_special_tokens = call.members.get("add_special_tokens", True)
    if not isinstance(has_special_tokens, bool):
        message = f"must be true or false, not {shorten(has_special_tokens)}"
        raise invalid(message, path="add_special_tokens", hint="Leave it out for true.")
    texts = call.values("a text")
    if sum(map(len, texts)) > MAX_TOKENIZED_CHARACTERS:
        message = f"has over {MAX_TOKENIZED_CHARACTERS:,} characters"
        raise invalid(message, path=INPUTS, hint="Send fewer texts at a time.")
    served = await service.names.resolve(model)
    tokens = await service.list_tokens(served, texts, has_special_tokens=has_special_tokens)
    if tokens is None:
        raise invalid(f"{served.name!r} reads no texts", hint="Tokens are those of a model of texts.")
    return [[TextToken.model_validate(token) for token in text_tokens] for text_tokens in tokens]


async def _run(service: PredictService, model: str, pipeline: Pipeline, call: PipelineRequest) -> Response:
    inputs = pipeline.to_inputs(call)
    with client_paths(partial(pipeline.path_of, call)):
        if call.members.get(STREAM):
            _, pieces = await service.stream(model, inputs, parameters=call.parameters)
            events = to_events(pieces, TokenEvents())
            return StreamingResponse(events, media_type=MEDIA_TYPE, headers=STREAM_HEADERS)
        result = await service.predict(model, inputs, parameters=call.parameters)
    return respond(pipeline, result.outputs, call)


def _parse(request: Request, body: bytes) -> PipelineRequest:
    """Return a JSON body, or one file of any type; raises `ProblemError` 415 and 422."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        detail = "This path reads JSON, or one file as the body, not a form. Send the file itself."
        raise ProblemError(415, "unsupported_media_type", detail)
    if not is_json(request):
        return PipelineRequest(body, {}, {})
    return PipelineRequest.from_json(strict_json(body))
