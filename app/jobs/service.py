"""Checks and resolves specs, and converts rows of jobs to responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from app.http.pagination import ListOf
from app.http.validation import parse
from app.jobs.schemas import Event, Job, LogLine
from ml.data.dataset import DatasetSummary
from ml.errors import Finding, SpecError, unknown
from ml.package.manifest import MANIFEST, Manifest, parse_manifest
from ml.spec.check import check
from ml.spec.interchange import Export, check_export
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune, Pretrain, references, split_references
from store import datasets, job_events, jobs, models
from store.database import reading
from store.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from ml.spec.catalog import Catalog
    from ml.spec.schema import Spec
    from store.blobs import Blobs
    from store.pagination import Page
    from store.tables import Dataset as DatasetRow
    from store.tables import Job as JobRow
    from store.tables import Model as ModelRow

#: Events read at a time in search of log lines.
LOG_BATCH = 500

AnySpec: TypeAlias = Annotated[Pretrain | Finetune | Export, Field(discriminator="kind")]
_SPECS: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSpec:
    """A valid spec with all defaults, its references pinned to versions."""

    spec: dict[str, Any]
    dataset_id: str | None
    #: Name of the model that the job registers; None if it registers none.
    model_name: str | None


def reject_invalid(body: Any, *, catalog: Catalog, blobs: Blobs) -> None:
    """Raise `ProblemError` 422 with every fault of a spec that cannot be parsed."""

    def check_spec(spec: AnySpec) -> None:
        with reading() as session:
            resolve_spec(session, spec, catalog=catalog, blobs=blobs)

    parse(_SPECS.validate_python, body, schema=_SPECS.json_schema(), check=check_spec)


def resolve_spec(session: Session, spec: Spec | Export, *, catalog: Catalog, blobs: Blobs) -> ResolvedSpec:
    """Check a spec and fill in its defaults; raises `SpecError` with every fault."""
    if isinstance(spec, Export):
        return _resolve_export(session, spec, catalog=catalog, blobs=blobs)
    return _resolve_training(session, spec, catalog=catalog, blobs=blobs)


def _resolve_export(session: Session, spec: Export, *, catalog: Catalog, blobs: Blobs) -> ResolvedSpec:
    findings: list[Finding] = []
    model = _find_model(session, spec.model, findings, path="model")
    if model is not None:
        findings += check_export(spec, catalog, _read_manifest(model, blobs))
    if findings or model is None:
        raise SpecError.of(findings)
    pinned = spec.model_dump(mode="json", exclude_none=True) | {"model": f"{model.name}@{model.version}"}
    return ResolvedSpec(spec=pinned, dataset_id=None, model_name=None)


def _resolve_training(session: Session, spec: Spec, *, catalog: Catalog, blobs: Blobs) -> ResolvedSpec:
    findings: list[Finding] = []
    dataset = _find_dataset(session, spec.dataset, findings)
    named_models = {
        path: model
        for path, reference in references(spec, catalog).items()
        if (model := _find_model(session, reference, findings, path=path)) is not None
    }
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    manifests = {path: _read_manifest(model, blobs) for path, model in named_models.items()}
    parent, others = split_references(manifests)
    findings += check(spec, catalog, summary, parent, others)
    if findings or dataset is None:
        raise SpecError.of(findings)
    resolved = resolve(spec, catalog, dataset=summary, base=parent).model_dump(mode="json", exclude_none=True)
    _pin(resolved, "dataset", f"{dataset.name}@{dataset.version}")
    for path, model in named_models.items():
        _pin(resolved, path, f"{model.name}@{model.version}")
    return ResolvedSpec(spec=resolved, dataset_id=dataset.id, model_name=spec.model)


def to_response(session: Session, row: JobRow) -> Job:
    """Convert a row."""
    positions = jobs.queue_positions(session, [row.id]) if row.state == "queued" else {}
    return _to_response(session, row, positions)


def to_responses(session: Session, page: Page[JobRow]) -> ListOf[Job]:
    """Convert a page of rows; their positions in the queue are read together."""
    queued = [row.id for row in page.items if row.state == "queued"]
    positions = jobs.queue_positions(session, queued) if queued else {}
    return ListOf.of(page, lambda row: _to_response(session, row, positions))


def _to_response(session: Session, row: JobRow, positions: Mapping[str, int]) -> Job:
    model = models.of_job(session, row.id) if row.state == "succeeded" else None
    return Job.of(row, version=model.version if model else None, queue_position=positions.get(row.id))


def event_page(session: Session, job_id: str, *, after: int, limit: int) -> ListOf[Event]:
    """Return a page of events, oldest first."""
    rows = job_events.events(session, job_id, after=after, limit=limit + 1)
    page = [Event.of(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return ListOf(data=page, has_more=has_more, next_cursor=str(page[-1].id) if has_more else None)


def log_page(session: Session, job_id: str, *, after: int, limit: int) -> ListOf[LogLine]:
    """Return a page of log lines, oldest first."""
    lines: list[LogLine] = []
    while len(lines) <= limit:
        rows = job_events.events(session, job_id, after=after, limit=LOG_BATCH)
        lines += [LogLine.of(row) for row in rows if row.kind == "log"]
        if len(rows) < LOG_BATCH:
            break
        after = rows[-1].number
    page = lines[:limit]
    has_more = len(lines) > limit
    return ListOf(data=page, has_more=has_more, next_cursor=str(page[-1].id) if has_more else None)


def read_report(row: JobRow) -> dict[str, Any]:
    """Return the report of a job; raises `NotFound` with the reason if there is none."""
    if row.report is not None:
        return row.report
    if row.state in ("queued", "running"):
        raise NotFound("report yet of job", row.id)
    raise NotFound("report of job", row.id)


def _find_dataset(session: Session, reference: str, findings: list[Finding]) -> DatasetRow | None:
    try:
        row = datasets.get(session, reference)
    except NotFound:
        findings.append(unknown("dataset", reference, datasets.names(session), path="dataset"))
        return None
    if row.state != "ready":
        hints = {"rejected": f"GET /api/v1/datasets/{row.id}/report lists the problems in its data."}
        findings.append(
            Finding(
                code="dataset_not_ready",
                path="dataset",
                message=f"{row.name}@{row.version} is {row.state}",
                expected="ready",
                found=row.state,
                hint=hints.get(row.state, "Wait until it is ready."),
            )
        )
    return row


def _pin(spec: dict[str, Any], path: str, value: str) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        spec = spec[parent]
    spec[name] = value


def _find_model(session: Session, reference: str, findings: list[Finding], *, path: str) -> ModelRow | None:
    try:
        return models.version(session, reference)
    except NotFound:
        findings.append(unknown("model", reference, models.names(session), path=path))
        return None


def _read_manifest(row: ModelRow, blobs: Blobs) -> Manifest:
    with blobs.open(f"{row.key}/{MANIFEST}") as file:
        return parse_manifest(file.read())
