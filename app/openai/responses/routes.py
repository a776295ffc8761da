"""Route of responses of the OpenAI protocol."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Body, Request
from starlette.responses import Response, StreamingResponse

from app.dependencies import PredictServiceDep
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.openai.responses.answer import ResponseAnswer
from app.openai.responses.conversation import ResponseGeneration
from app.openai.responses.events import ResponseEvents
from app.openai.responses.schemas import ModelResponse, ResponseRequest
from app.predict.event_stream import MEDIA_TYPE, STREAM_HEADERS, to_events
from app.predict.handler import PREDICTION_PROBLEMS, RESPONSE_TYPE

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JSONRoute)

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    **problem_responses(*PREDICTION_PROBLEMS, "context_length_exceeded"),
}
_EXAMPLES: Any = {
    "question": {
        "summary": "Reply to a question",
        "value": {
            "model": "stories",
            "instructions": "Answer briefly.",
            "input": "Who are you?",
            "max_output_tokens": 8,
        },
    }
}


@router.post("/responses", response_model=ModelResponse, responses=_RESPONSES)
async def create_response(
    request: Request,
    body: Annotated[ResponseRequest, Body(openapi_examples=_EXAMPLES)],
    service: PredictServiceDep,
) -> Response:
    """Reply with a model of the task `text_generation`; `"stream": true` streams events.

    Nothing is stored, so that each request has the whole conversation.
    """
    generation, request_id = ResponseGeneration(body), request.state.request_id
    if body.stream:
        served, pieces = await generation.stream(service)
        events = ResponseEvents(ResponseAnswer(body, served, request_id=request_id))
        return StreamingResponse(to_events(pieces, events), media_type=MEDIA_TYPE, headers=STREAM_HEADERS)
    result = await generation.run(service)
    answer = ResponseAnswer(body, result.served, request_id=request_id)
    return Response(orjson.dumps(answer.complete(result.outputs[0])), media_type=RESPONSE_TYPE)
