"""Routes of health checks (liveness, readiness), metrics and system."""

from __future__ import annotations

import shutil
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from app.dependencies import MetricsDep, PredictServiceDep, SessionDep
from app.health import service
from app.health.schemas import Alive, Readiness, System
from store import jobs, workers
from store.settings import store_settings

router = APIRouter(tags=["system"])

WithDevice = Annotated[
    bool, Query(description="Whether to look up the device. The first look-up of a process takes some seconds.")
]


@router.get("/healthz")
async def read_liveness() -> Alive:
    """Return 200 while the process runs. Needs no key."""
    return Alive()


@router.get(
    "/readyz",
    responses={503: {"model": Readiness, "description": "The API cannot handle requests; the parts give the reason."}},
)
def read_readiness(response: Response) -> Readiness:
    """Check whether the API can handle requests, part by part. Needs no key."""
    readiness = service.hide_details(service.readiness())
    response.status_code = 200 if readiness.ready else 503
    return readiness


@router.get("/metrics", response_class=PlainTextResponse)
def read_metrics(session: SessionDep, metrics: MetricsDep) -> Response:
    """Export counters and durations in the text format of Prometheus."""
    metrics.set_jobs(jobs.count_by_state(session))
    free_bytes = shutil.disk_usage(store_settings().home).free
    metrics.set_installation(workers=len(workers.list_alive(session)), free_bytes=free_bytes)
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


@router.get("/api/v1/system")
def read_system(predict_service: PredictServiceDep, device: WithDevice = True) -> System:
    """Describe the installation: version, training device, workers, jobs, queue, loaded models."""
    return service.read_system(predict_service.pool, with_device=device)
