"""Routes of base models: which to start from."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from app.http import links
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.jobs import schemas, service
from app.jobs.submission import JobSubmissionDep
from ml.spec.recommendation import BasesRequest, Recommend

router = APIRouter(prefix="/api/v1/bases", tags=["models"], route_class=JSONRoute)

_EXAMPLES: Any = {
    "dataset": {"summary": "Compare the base models for a dataset", "value": {"dataset": "mnist"}},
    "task": {
        "summary": "Name the task and the models",
        "value": {"dataset": "mnist", "task": "image_classification", "bases": ["digits-base"]},
    },
}
RequestBody = Annotated[BasesRequest, Body(openapi_examples=_EXAMPLES)]


@router.post(
    "/recommend",
    status_code=202,
    response_model=schemas.Job,
    responses={
        202: {"links": links.JOB},
        **problem_responses(
            "invalid_spec", "conflict", "damaged", "invalid_package", "quota_reached", "storage_unavailable"
        ),
    },
)
def recommend_base(request: RequestBody, submission: JobSubmissionDep) -> Response:
    """Start a job that ranks base models for a dataset.

    It trains a linear classifier on their frozen features, cross-validated, which takes up to a minute. The report of
    the job has the ranking.
    """
    spec = Recommend(kind="recommend", **dict(request))
    resolve = partial(service.resolve_spec, submission.session, spec)
    return submission.respond(resolve, body=spec.model_dump_json().encode())
