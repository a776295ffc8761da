"""Evaluations of a model version, or on a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http.pagination import ListOf
from app.jobs.schemas import ModelEvaluation
from store import jobs
from store.tables import JobKind

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def list_evaluations(
    session: Session, *, limit: int, cursor: str | None, model: str | None = None, dataset: str | None = None
) -> ListOf[ModelEvaluation]:
    """List jobs of the kind `evaluate` that succeeded, newest first.

    They are those of `model` as `name@3`, or on the dataset with this id.
    """
    matching = jobs.JobFilter(states=["succeeded"], kinds=[JobKind.EVALUATE], evaluates=model, dataset=dataset)
    page = jobs.listing(session, matching=matching, limit=limit, cursor=cursor, with_reports=True)
    return ListOf.of(page, ModelEvaluation.of)
