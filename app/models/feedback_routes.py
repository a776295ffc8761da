"""Routes of feedback: true labels of inputs, candidates for labels, and datasets of feedback."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Body, Query

from app.dependencies import ModelName, PredictServiceDep, SessionDep
from app.http import links
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.models import feedback_service as service
from app.models.feedback_schemas import (
    Feedback,
    FeedbackDataset,
    FeedbackDatasetCreate,
    FeedbackSend,
    LabelCandidates,
)

router = APIRouter(prefix="/api/v1/models", tags=["models"], route_class=JSONRoute)

_EXAMPLES: Any = {
    "request": {
        "summary": "The label of a recorded request",
        "value": {"request_id": "3f2b8c1d9e4a4f0b8a7c6d5e4f3a2b1c", "label": "7"},
    },
    "input": {"summary": "The label of an input", "value": {"input": {"text": "A quiet film."}, "label": "positive"}},
}
_DATASET_EXAMPLES: Any = {"default": {"summary": "The dataset of the model, and all feedback", "value": {}}}


@router.post(
    "/{name}/feedback",
    responses=problem_responses(
        "conflict", "damaged", "invalid_input", "invalid_package", "invalid_spec", "not_found", "storage_unavailable"
    ),
)
async def send_feedback(
    name: ModelName,
    body: Annotated[FeedbackSend, Body(openapi_examples=_EXAMPLES)],
    predict_service: PredictServiceDep,
) -> Feedback:
    """Store the true label of an input.

    The input is that of an answered request, if the watch of the model has recorded it, or stands in the body. The last
    label of an input counts; the same label again changes nothing.
    """
    model = await predict_service.load(name)
    return await to_thread.run_sync(service.send, name, model, body)


@router.get("/{name}/feedback/candidates", responses=problem_responses("not_found", "invalid_spec"))
def list_label_candidates(name: ModelName, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> LabelCandidates:
    """List the recorded inputs that are most useful to label: uncertain, and unlike each other."""
    return service.list_candidates(name, limit=limit)


@router.post(
    "/{name}/feedback/dataset",
    status_code=202,
    responses={
        202: {"links": links.DATASET},
        **problem_responses("not_found", "conflict", "invalid_spec", "quota_reached"),
    },
)
def create_feedback_dataset(
    name: ModelName,
    body: Annotated[FeedbackDatasetCreate, Body(openapi_examples=_DATASET_EXAMPLES)],
    session: SessionDep,
) -> FeedbackDataset:
    """Make the next version of the dataset `NAME-feedback`.

    It has a sample of the rows that the model was trained on, all of their held-out rows, and all feedback. A row of
    feedback stays in its split in all versions.
    """
    return service.create_dataset(session, name, body)
