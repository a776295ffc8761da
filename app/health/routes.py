"""How the service is doing."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from app.dependencies import MetricsDep, PredictServiceDep, SessionDep
from app.health import service
from app.health.schemas import Alive, Readiness, System
from store import jobs

router = APIRouter(tags=["system"])


@router.get("/healthz")
async def read_liveness() -> Alive:
    """Whether the process answers. Needs no key."""
    return Alive()


@router.get(
    "/readyz",
    responses={503: {"model": Readiness, "description": "The API cannot do its work; the parts say why."}},
)
def read_readiness(response: Response) -> Readiness:
    """Whether the API can do its work, part by part. Needs no key."""
    readiness = service.readiness()
    response.status_code = 200 if readiness.ready else 503
    return readiness


@router.get("/metrics", response_class=PlainTextResponse)
def read_metrics(session: SessionDep, metrics: MetricsDep) -> Response:
    """Counters and timings in Prometheus's text format."""
    metrics.set_jobs(jobs.count_by_state(session))
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


@router.get("/api/v1/system")
def read_system(predict_service: PredictServiceDep) -> System:
    """What runs here: version, device and why, workers, queue, loaded models."""
    return service.system(predict_service.pool)
