"""What a job is before it is a row, and how rows are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from app.http.pagination import ListOf
from app.http.validation import read
from app.jobs.schemas import Event, Job, LogLine
from ml.data.dataset import DatasetSummary
from ml.errors import Finding, SpecError, unknown
from ml.package.manifest import MANIFEST, Manifest, parse_manifest
from ml.spec.check import check
from ml.spec.interchange import Export, check_export
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune, Pretrain, references, split_references
from store import datasets, job_events, models
from store.database import reading
from store.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ml.spec.catalog import Catalog
    from ml.spec.schema import Spec
    from store.blobs import Blobs
    from store.tables import Dataset as DatasetRow
    from store.tables import Job as JobRow
    from store.tables import Model as ModelRow

LOG_BATCH = 500

AnySpec: TypeAlias = Annotated[Pretrain | Finetune | Export, Field(discriminator="kind")]
_SPECS: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A spec that holds together, every default filled in, every reference pinned to a version."""

    spec: dict[str, Any]
    dataset_id: str | None
    model_name: str | None
    """Under which the result is registered; None where it is no model."""


def refuse_misread(body: Any, *, catalog: Catalog, blobs: Blobs) -> None:
    """Raises `Refused` with all that is wrong with a spec that cannot be read."""

    def judge(spec: AnySpec) -> None:
        with reading() as session:
            ready(session, spec, catalog=catalog, blobs=blobs)

    read(_SPECS.validate_python, body, schema=_SPECS.json_schema(), judge=judge)


def ready(session: Session, spec: Spec | Export, *, catalog: Catalog, blobs: Blobs) -> Ready:
    """Raises `SpecError` with everything that is wrong at once."""
    if isinstance(spec, Export):
        return _export(session, spec, catalog=catalog, blobs=blobs)
    return _training(session, spec, catalog=catalog, blobs=blobs)


def _export(session: Session, spec: Export, *, catalog: Catalog, blobs: Blobs) -> Ready:
    findings: list[Finding] = []
    model = _model(session, spec.model, findings, path="model")
    if model is not None:
        findings += check_export(spec, catalog, _manifest(model, blobs))
    if findings or model is None:
        raise SpecError.of(findings)
    pinned = spec.model_dump(mode="json", exclude_none=True) | {"model": f"{model.name}@{model.version}"}
    return Ready(spec=pinned, dataset_id=None, model_name=None)


def _training(session: Session, spec: Spec, *, catalog: Catalog, blobs: Blobs) -> Ready:
    findings: list[Finding] = []
    dataset = _dataset(session, spec.dataset, findings)
    named = {
        path: model
        for path, reference in references(spec, catalog).items()
        if (model := _model(session, reference, findings, path=path)) is not None
    }
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    manifests = {path: _manifest(model, blobs) for path, model in named.items()}
    parent, others = split_references(manifests)
    findings += check(spec, catalog, summary, parent, others)
    if findings or dataset is None:
        raise SpecError.of(findings)
    resolved = resolve(spec, catalog, dataset=summary, base=parent).model_dump(mode="json", exclude_none=True)
    _pin(resolved, "dataset", f"{dataset.name}@{dataset.version}")
    for path, model in named.items():
        _pin(resolved, path, f"{model.name}@{model.version}")
    return Ready(spec=resolved, dataset_id=dataset.id, model_name=spec.model)


def to_response(session: Session, row: JobRow) -> Job:
    """A job as clients see it."""
    made = models.of_job(session, row.id) if row.state == "succeeded" else None
    return Job.of(row, version=made.version if made else None)


def event_page(session: Session, job_id: str, *, after: int, limit: int) -> ListOf[Event]:
    """Events in the order they happened."""
    rows = job_events.events(session, job_id, after=after, limit=limit + 1)
    shown = [Event.of(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return ListOf(data=shown, has_more=has_more, next_cursor=str(shown[-1].id) if has_more else None)


def log_page(session: Session, job_id: str, *, after: int, limit: int) -> ListOf[LogLine]:
    """The events that are words, in the order they were said."""
    lines: list[LogLine] = []
    while len(lines) <= limit:
        rows = job_events.events(session, job_id, after=after, limit=LOG_BATCH)
        lines += [LogLine.of(row) for row in rows if row.kind == "log"]
        if len(rows) < LOG_BATCH:
            break
        after = rows[-1].number
    shown = lines[:limit]
    has_more = len(lines) > limit
    return ListOf(data=shown, has_more=has_more, next_cursor=str(shown[-1].id) if has_more else None)


def report_of(row: JobRow) -> dict[str, Any]:
    """The evaluation; raises `NotFound` with the reason where there is none."""
    if row.report is not None:
        return row.report
    if row.state in ("queued", "running"):
        raise NotFound("report yet of job", row.id)
    raise NotFound("report of job", row.id)


def _dataset(session: Session, reference: str, findings: list[Finding]) -> DatasetRow | None:
    try:
        row = datasets.get(session, reference)
    except NotFound:
        findings.append(unknown("dataset", reference, datasets.names(session), path="dataset"))
        return None
    if row.state != "ready":
        hints = {"rejected": f"GET /api/v1/datasets/{row.id}/report says what is wrong with it."}
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
    *above, name = path.split(".")
    for each in above:
        spec = spec[each]
    spec[name] = value


def _model(session: Session, reference: str, findings: list[Finding], *, path: str) -> ModelRow | None:
    try:
        return models.version(session, reference)
    except NotFound:
        findings.append(unknown("model", reference, models.names(session), path=path))
        return None


def _manifest(row: ModelRow, blobs: Blobs) -> Manifest:
    with blobs.open(f"{row.key}/{MANIFEST}") as file:
        return parse_manifest(file.read())
