"""Routes of rankings."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from app.dependencies import PredictServiceDep
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.predict.handler import PREDICTION_PROBLEMS, RESPONSE_TYPE
from app.rerank.ranking import rank
from app.rerank.schemas import Ranking, RerankRequest

router = APIRouter(tags=["rerank"], route_class=JSONRoute)

_PROBLEMS: Final = problem_responses(*PREDICTION_PROBLEMS)
_EXAMPLES: Any = {
    "documents": {
        "summary": "The more similar of two texts",
        "value": {"model": "reviews", "query": "a film", "documents": ["a song", "a movie"], "top_n": 1},
    }
}

RerankBody = Annotated[RerankRequest, Body(openapi_examples=_EXAMPLES)]


@router.post("/v2/rerank", response_model=Ranking, responses=_PROBLEMS)
async def rerank_documents_of_cohere(request: Request, body: RerankBody, service: PredictServiceDep) -> Response:
    """Rank documents by the similarity of their embeddings to that of a query.

    Any model that reads texts answers. Clients of Cohere use `base_url="http://127.0.0.1:8000"` and the same key.
    """
    return await _respond(request, body, service, version="2")


@router.post("/v1/rerank", response_model=Ranking, responses=_PROBLEMS)
async def rerank_documents(request: Request, body: RerankBody, service: PredictServiceDep) -> Response:
    """Rank documents, as `/v2/rerank` does, for clients of Jina, vLLM and Cohere's version 1."""
    return await _respond(request, body, service, version="1")


async def _respond(request: Request, body: RerankRequest, service: PredictServiceDep, *, version: str) -> Response:
    answer = await rank(service, body)
    meta: dict[str, Any] = {"api_version": {"version": version}}
    if warnings := answer.pop("warnings"):
        meta["warnings"] = warnings
    ranking = {"id": request.state.request_id, "object": "list", "meta": meta}
    return Response(orjson.dumps({**ranking, **answer}), media_type=RESPONSE_TYPE)
