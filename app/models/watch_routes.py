"""Routes of watches: what is recorded of a model's requests, and what follows from drift."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body

from app.dependencies import BlobsDep, CatalogDep, ModelName, PredictServiceDep, SessionDep
from app.http.errors import ProblemError, problem_responses
from app.http.request_body import JSONRoute
from app.jobs.service import resolve_stored
from app.models.watch_schemas import VersionTraffic, Watch, WatchSet
from ml.errors import SpecError, unknown
from store import datasets, models
from store.adaptation import collection, feedback, records, watches
from store.adaptation.training import make_finetune_spec
from store.database import after_commit
from store.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from ml.errors import Finding
    from ml.spec.catalog import Catalog
    from store.blobs import Blobs
    from store.tables import Watch as WatchRow

router = APIRouter(prefix="/api/v1/models", tags=["models"], route_class=JSONRoute)

_EXAMPLES: Any = {
    "tell": {"summary": "Record a tenth of the answers, and list drift", "value": {"keep": "rows", "fraction": 0.1}},
    "promote": {
        "summary": "Train on feedback, and replace the version if the new one is better",
        "value": {"keep": "rows", "fraction": 0.1, "drift": "auto", "gate": "auto", "then": "promote"},
    },
    "sketches": {"summary": "Record no inputs", "value": {"keep": "sketches", "drift": ["confidence"]}},
}


@router.get("/{name}/watch", responses=problem_responses("not_found"))
def read_watch(name: ModelName, session: SessionDep) -> Watch:
    """Read what is recorded of a model's requests, with the state of its drift tests."""
    return _to_response(session, watches.get(session, name))


@router.put("/{name}/watch", responses=problem_responses("not_found", "conflict", "invalid_spec"))
def set_watch(
    name: ModelName,
    body: Annotated[WatchSet, Body(openapi_examples=_EXAMPLES)],
    session: SessionDep,
    predict_service: PredictServiceDep,
    catalog: CatalogDep,
    blobs: BlobsDep,
) -> Watch:
    """Record a fraction of a model's answers, look for drift, and say what follows.

    Nothing is recorded without a watch. Only classifiers of texts and images can be watched.
    """
    if findings := _check(session, name, body):
        raise SpecError.of(findings)
    options = body.model_dump(mode="json", exclude={"keep", "fraction"})
    if body.training and _has_new_training(watches.find(session, name), options):
        _check_training(session, name, body, catalog=catalog, blobs=blobs)
    row = watches.put(session, name, keep=body.keep, fraction=body.fraction, options=options)
    after_commit(session, predict_service.names.clear)
    return _to_response(session, row)


@router.delete("/{name}/watch", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_watch(name: ModelName, session: SessionDep, predict_service: PredictServiceDep) -> None:
    """Record nothing any more, and delete all records of requests; feedback stays."""
    watches.remove(session, name)
    after_commit(session, predict_service.names.clear)


def _check(session: Session, name: str, body: WatchSet) -> list[Finding]:
    # Imported when first needed, like everything that reads images.
    from ml.drift import DRIFT_TESTS
    from ml.inference.watched_inputs import check_watched

    model = models.version(session, name)
    findings = check_watched(f"{name}@{model.version}", model.task) if body.keep != watches.OFF else []
    if body.drift != "auto":
        findings += [
            unknown("drift test", test, DRIFT_TESTS, path="drift") for test in body.drift if test not in DRIFT_TESTS
        ]
    if body.dataset is not None:
        try:
            datasets.get(session, body.dataset)
        except NotFound:
            findings.append(unknown("dataset", body.dataset, datasets.names(session), path="dataset"))
    return findings


def _has_new_training(row: WatchRow | None, options: Mapping[str, Any]) -> bool:
    """Return whether the fine-tuning changes.

    What was checked before stays, though its dataset may be deleted since.
    """
    return row is None or any(row.options.get(name) != options[name] for name in ("training", "dataset"))


def _check_training(session: Session, name: str, body: WatchSet, *, catalog: Catalog, blobs: Blobs) -> None:
    """Check the changes to the fine-tuning; raises `Conflict` without a dataset, and `ProblemError` 422."""
    source = collection.find_source(session, name, body.dataset)
    model, dataset = models.version(session, name), datasets.reference_of(source)
    spec = make_finetune_spec(session, model, dataset=dataset, changes=body.training)
    try:
        resolve_stored(session, spec, catalog=catalog, blobs=blobs, allow_noncommercial=True)
    except (ProblemError, SpecError) as error:
        raise _in_training(error, body.training) from None


def _in_training(error: ProblemError | SpecError, changes: Mapping[str, Any]) -> SpecError:
    """Return the findings with their paths in the body of the request."""
    findings = error.errors if isinstance(error, ProblemError) else error.findings
    return SpecError.of(
        [
            replace(finding, path=f"training.{finding.path}")
            if (finding.path or "").split(".")[0] in changes
            else finding
            for finding in findings
        ]
    )


def _to_response(session: Session, row: WatchRow) -> Watch:
    count, size = records.measure(session, row.model_name)
    names = ("requests", "errors", "recorded", "dropped")
    versions = [
        VersionTraffic(version=int(version), **{name: counts.get(name, 0) for name in names})
        for version, counts in sorted(row.figures.items(), key=lambda item: int(item[0]))
    ]
    state = {
        "records": count,
        "bytes": size,
        "feedback": feedback.count(session, row.model_name),
        "versions": versions,
        "drift": row.state.get("drift", []),
        "round": row.state.get("round"),
        "alarm": row.state.get("alarm"),
        "guard": row.state.get("guard"),
        "gate": row.state.get("gate"),
        "events": row.state.get("events", []),
    }
    content = {**row.options, "keep": row.keep, "fraction": row.fraction, "model": row.model_name, "state": state}
    return Watch.model_validate({**content, "created_at": row.created_at, "updated_at": row.updated_at})
