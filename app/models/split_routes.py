"""Routes of split traffic: canary and shadow versions of aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body

from app.dependencies import ModelName, PredictServiceDep, SessionDep
from app.http.errors import problem_responses
from app.http.request_body import JSONRoute
from app.metrics.histogram import Histogram
from app.models.routes import AliasName
from app.models.schemas import LatencyQuantiles, SplitVersion, TrafficSplit, TrafficSplitSet
from store import models, traffic
from store.database import after_commit

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.tables import TrafficSplit as TrafficSplitRow

router = APIRouter(prefix="/api/v1/models", tags=["models"], route_class=JSONRoute)

_EXAMPLES: Any = {
    "canary": {"summary": "Version 1 answers a tenth", "value": {"version": 1, "weight": 0.1}},
    "shadow": {"summary": "Version 1 gets copies", "value": {"version": 1, "mode": "shadow", "weight": 1}},
}


@router.get("/{name}/aliases/{alias}/split", responses=problem_responses("not_found"))
def read_traffic_split(name: ModelName, alias: AliasName, session: SessionDep) -> TrafficSplit:
    """Read how the traffic of an alias is split, with figures of both versions."""
    return _to_response(session, traffic.split_of(session, name, alias))


@router.put("/{name}/aliases/{alias}/split", responses=problem_responses("not_found", "conflict"))
def set_traffic_split(
    name: ModelName,
    alias: AliasName,
    body: Annotated[TrafficSplitSet, Body(openapi_examples=_EXAMPLES)],
    session: SessionDep,
    predict_service: PredictServiceDep,
) -> TrafficSplit:
    """Send a fraction of an alias's requests to a second version, or copies of them.

    The figures start anew unless only the weight changes. Moving the alias ends the split.
    """
    row = traffic.set_split(session, name, alias, version=body.version, mode=body.mode, weight=body.weight)
    after_commit(session, predict_service.names.clear)
    return _to_response(session, row)


@router.delete("/{name}/aliases/{alias}/split", status_code=204, responses=problem_responses("not_found"))
def delete_traffic_split(
    name: ModelName, alias: AliasName, session: SessionDep, predict_service: PredictServiceDep
) -> None:
    """Send all requests to the version of the alias again."""
    traffic.remove_split(session, name, alias)
    after_commit(session, predict_service.names.clear)


def _to_response(session: Session, row: TrafficSplitRow) -> TrafficSplit:
    figures, compared = row.figures, row.figures.get("compared")
    current = models.alias_of(session, row.model_name, row.alias).version
    return TrafficSplit.model_validate(
        {
            "model": row.model_name,
            "alias": row.alias,
            "mode": row.mode,
            "weight": row.weight,
            "current": _to_version(current, figures.get("current") or {}),
            "candidate": _to_version(row.version, figures.get("candidate") or {}),
            "agreement": figures["agreements"] / compared if compared else None,
            "dropped": figures.get("dropped", 0),
            "created_at": row.created_at,
        }
    )


def _to_version(version: int, figures: dict[str, Any]) -> SplitVersion:
    latency = Histogram()
    latency.counts = figures.get("latency_counts") or latency.counts
    p50, p90, p99 = (latency.quantile(fraction) for fraction in (0.5, 0.9, 0.99))
    classes, confidences = figures.get("classes") or {}, figures.get("confidences")
    total = sum(classes.values())
    return SplitVersion(
        version=version,
        requests=figures.get("requests", 0),
        errors=figures.get("errors", 0),
        latency_seconds=LatencyQuantiles(p50=p50, p90=p90, p99=p99),
        classes={label: count / total for label, count in sorted(classes.items())},
        mean_confidence=figures["confidence_sum"] / confidences if confidences else None,
    )
