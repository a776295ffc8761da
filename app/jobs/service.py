"""Checks and resolves specs, and converts rows of jobs to responses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from app.http.pagination import ListOf
from app.http.validation import parse
from app.jobs.device_check import check_devices
from app.jobs.licenses import check_license
from app.jobs.model_jobs import (
    resolve_batch_prediction,
    resolve_evaluation,
    resolve_recommendation,
    resolve_reproduction,
)
from app.jobs.references import find_dataset, find_model, pin, read_manifest
from app.jobs.resolved_spec import ResolvedSpec
from app.jobs.schemas import Event, Job, License, LogLine
from ml.data.dataset import DatasetSummary
from ml.errors import Finding, SpecError
from ml.package.version_1 import upgrade_spec
from ml.search.check import check_sweep
from ml.search.resolve import resolve_sweep
from ml.search.schema import Sweep
from ml.spec.batch_prediction import BatchPredict
from ml.spec.check import check
from ml.spec.evaluation import Evaluate
from ml.spec.interchange import Export, check_export
from ml.spec.pruning import Prune, check_pruning
from ml.spec.recommendation import Recommend
from ml.spec.reproduction import Reproduce
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune, Pretrain, references, split_references
from store import api_keys, job_events, jobs, models
from store.database import reading
from store.errors import Conflict, NotFound
from store.tables import DATASET_KINDS, JobKind

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
    from store.tables import Priority

AnySpec: TypeAlias = Annotated[
    Pretrain | Finetune | Export | Evaluate | BatchPredict | Reproduce | Prune | Recommend | Sweep,
    Field(discriminator="kind"),
]
_SPECS: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)


def reject_invalid(body: Any, *, catalog: Catalog, blobs: Blobs) -> None:
    """Raise `ProblemError` 422 with every fault of a spec that cannot be parsed."""

    def check_spec(spec: AnySpec) -> None:
        with reading() as session:
            resolve_spec(session, spec, catalog=catalog, blobs=blobs, allow_noncommercial=True)

    parse(_SPECS.validate_python, body, schema=_SPECS.json_schema(), check=check_spec)


def resolve_spec(
    session: Session, spec: AnySpec, *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool
) -> ResolvedSpec:
    """Check a spec and fill in its defaults; raises `SpecError` with every fault.

    Without `allow_noncommercial`, licenses that exclude commercial use are faults.
    """
    if isinstance(spec, Export):
        return _resolve_export(session, spec, catalog=catalog, blobs=blobs)
    if isinstance(spec, Evaluate):
        return resolve_evaluation(session, spec, blobs=blobs)
    if isinstance(spec, BatchPredict):
        return resolve_batch_prediction(session, spec, blobs=blobs)
    if isinstance(spec, Reproduce):
        return resolve_reproduction(session, spec)
    if isinstance(spec, Recommend):
        return resolve_recommendation(session, spec, catalog=catalog, blobs=blobs)
    if isinstance(spec, Prune):
        return _resolve_pruning(session, spec, catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial)
    if isinstance(spec, Sweep):
        return _resolve_sweep(session, spec, catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial)
    return _resolve_training(session, spec, catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial)


def _resolve_export(session: Session, spec: Export, *, catalog: Catalog, blobs: Blobs) -> ResolvedSpec:
    findings: list[Finding] = []
    model = find_model(session, spec.model, findings, path="model")
    if model is not None:
        findings += check_export(spec, catalog, read_manifest(model, blobs))
    if findings or model is None:
        raise SpecError.of(findings)
    pinned = spec.model_dump(mode="json", exclude_none=True) | {"model": f"{model.name}@{model.version}"}
    return ResolvedSpec(kind=spec.kind, spec=pinned, request=pinned, dataset_id=None, model_name=None)


def _resolve_pruning(
    session: Session, spec: Prune, *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool
) -> ResolvedSpec:
    """Check a pruning, pin its references, and complete its schedule."""
    findings: list[Finding] = []
    dataset = find_dataset(session, spec.dataset, findings)
    model = find_model(session, spec.model, findings, path="model")
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    manifest = read_manifest(model, blobs) if model is not None else None
    if manifest is not None:
        findings += check_pruning(spec, catalog, manifest, summary)
    if not allow_noncommercial or spec.allow_noncommercial is False:
        findings += _check_licenses(session, dataset, {"model": model} if model is not None else {})
    if findings or dataset is None or model is None or manifest is None:
        raise SpecError.of(findings)
    training = resolve(spec.retraining(manifest), catalog, dataset=summary, base=manifest)
    pinned = {"model": f"{model.name}@{model.version}", "dataset": f"{dataset.name}@{dataset.version}"}
    request = spec.model_dump(mode="json", exclude_unset=True) | pinned
    schedule = training.schedule.model_dump(mode="json", exclude_none=True)
    resolved = spec.model_dump(mode="json", exclude_none=True) | pinned
    resolved |= {"schedule": schedule, "result": spec.result_name}
    return ResolvedSpec(
        kind=spec.kind, spec=resolved, request=request, dataset_id=dataset.id, model_name=spec.result_name
    )


def _resolve_sweep(
    session: Session, sweep: Sweep, *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool
) -> ResolvedSpec:
    """Check the job of a sweep, then each value of its space in that job."""
    try:
        job = _resolve_training(
            session, sweep.job, catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial
        )
    except SpecError as error:
        in_job = [replace(item, path=f"job.{item.path}" if item.path else "job") for item in error.findings]
        raise SpecError.of(in_job) from None
    dataset = find_dataset(session, sweep.job.dataset, [])
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    named_models = {
        path: find_model(session, reference, [], path=path)
        for path, reference in references(sweep.job, catalog).items()
    }
    manifests = {path: read_manifest(model, blobs) for path, model in named_models.items() if model is not None}
    parent, others = split_references(manifests)
    if findings := check_sweep(sweep, catalog, summary, parent, others):
        raise SpecError.of(findings)
    resolved_job = Finetune.model_validate(job.spec)
    resolved = resolve_sweep(sweep, resolved_job, catalog, summary)
    request = sweep.model_dump(mode="json", exclude_unset=True) | {"job": job.request}
    spec = resolved.model_dump(mode="json", exclude_none=True) | {"job": job.request}
    return ResolvedSpec(
        kind=sweep.kind, spec=spec, request=request, dataset_id=job.dataset_id, model_name=job.model_name
    )


def _resolve_training(
    session: Session, spec: Spec, *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool
) -> ResolvedSpec:
    findings: list[Finding] = []
    dataset = find_dataset(session, spec.dataset, findings)
    named_models = {
        path: model
        for path, reference in references(spec, catalog).items()
        if (model := find_model(session, reference, findings, path=path)) is not None
    }
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    manifests = {path: read_manifest(model, blobs) for path, model in named_models.items()}
    parent, others = split_references(manifests)
    findings += check(spec, catalog, summary, parent, others)
    findings += check_devices(session, spec)
    if not allow_noncommercial or spec.allow_noncommercial is False:
        findings += _check_licenses(session, dataset, named_models)
    if findings or dataset is None:
        raise SpecError.of(findings)
    resolved = resolve(spec, catalog, dataset=summary, base=parent).model_dump(mode="json", exclude_none=True)
    request = spec.model_dump(mode="json", exclude_unset=True)
    for document in (resolved, request):
        pin(document, "dataset", f"{dataset.name}@{dataset.version}")
        for path, model in named_models.items():
            pin(document, path, f"{model.name}@{model.version}")
    return ResolvedSpec(kind=spec.kind, spec=resolved, request=request, dataset_id=dataset.id, model_name=spec.model)


def submit(
    session: Session, resolved: ResolvedSpec, *, origin_id: str | None = None, priority: Priority = "normal"
) -> JobRow:
    """Create the job of a resolved spec; `origin_id` is the job that it repeats."""
    return jobs.submit(
        session,
        kind=resolved.kind,
        spec=resolved.spec,
        request=resolved.request,
        dataset_id=resolved.dataset_id,
        model_name=resolved.model_name,
        origin_id=origin_id,
        priority=priority,
    )


def resolve_retry(
    session: Session, job_id: str, *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool
) -> ResolvedSpec:
    """Return the spec of a failed or canceled job for another attempt.

    Raises:
        Conflict: The job has not ended, has succeeded, or its upload is gone.
        NotFound: There is no such job.
        SpecError: The dataset or a model that it names is gone.
    """
    row = jobs.get(session, job_id)
    if row.state not in ("failed", "cancelled"):
        hint = "clone it to change its spec" if row.state == "succeeded" else "wait for its end, or cancel it first"
        raise Conflict(f"{row.id} is {row.state}, and only failed or cancelled jobs can be retried; {hint}")
    if row.kind == JobKind.COMPARE:
        raise Conflict(f"{row.id} is a step of a watch, which repeats it by itself; send feedback to start the next")
    if row.kind in DATASET_KINDS:
        raise Conflict(f"{row.id} made a dataset; upload the data again, which makes the next version")
    if row.kind == JobKind.IMPORT:
        key = row.spec.get("source", {}).get("key")
        if key is not None and not blobs.exists(key):
            raise Conflict(f"the file that {row.id} imported was deleted; import it again")
        return ResolvedSpec(kind=row.kind, spec=row.spec, request=None, dataset_id=None, model_name=row.model_name)
    resolved = resolve_stored(
        session, upgrade_spec(row.spec), catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial
    )
    return replace(resolved, request=row.request)


def resolve_clone(
    session: Session,
    job_id: str,
    changes: dict[str, Any],
    *,
    catalog: Catalog,
    blobs: Blobs,
    allow_noncommercial: bool,
) -> ResolvedSpec:
    """Return the spec of a job with changes, a JSON merge patch (RFC 7396).

    Raises:
        Conflict: The job is neither training nor an export.
        NotFound: There is no such job.
        ProblemError: 422 with every fault of the changed spec.
    """
    row = jobs.get(session, job_id)
    if row.kind == JobKind.COMPARE:
        raise Conflict(f"{row.id} is a step of a watch; evaluate the versions to compare them yourself")
    if row.kind in (*DATASET_KINDS, JobKind.IMPORT):
        raise Conflict(f"{row.id} is of the kind {row.kind}, which starts from a file; upload the file again")
    # Jobs of earlier versions have no request.
    request = row.request or upgrade_spec(row.spec)
    spec = merge_patch(request, changes)
    return resolve_stored(session, spec, catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial)


def resolve_stored(
    session: Session, spec: Mapping[str, Any], *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool
) -> ResolvedSpec:
    """Check a spec as it was sent, and fill in its defaults.

    Raises `ProblemError` 422 and `SpecError`.
    """
    reject_invalid(spec, catalog=catalog, blobs=blobs)
    parsed = _SPECS.validate_python(spec)
    return resolve_spec(session, parsed, catalog=catalog, blobs=blobs, allow_noncommercial=allow_noncommercial)


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396): objects are merged, null removes, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _check_licenses(
    session: Session, dataset: DatasetRow | None, named_models: Mapping[str, ModelRow]
) -> list[Finding]:
    """Return a finding for each license in the lineage that excludes commercial use."""
    findings: list[Finding] = []
    if dataset is not None:
        parts = [License.of(part) for part in models.license_of_dataset(dataset)]
        findings += [finding for part in parts for finding in check_license(part, path="dataset")]
    for path, model in named_models.items():
        parts = [License.of(part) for part in models.licenses(session, model)]
        findings += [finding for part in parts for finding in check_license(part, path=path)]
    return findings


def licenses_of(session: Session, resolved: ResolvedSpec) -> list[License]:
    """List the licenses of the data and models that a spec trains on."""
    parts = models.licenses_of_spec(session, resolved.kind, resolved.spec, resolved.dataset_id)
    return [License.of(part) for part in parts]


def to_response(session: Session, row: JobRow) -> Job:
    """Convert a row."""
    return _to_response(session, row, jobs.queue_positions(session, [row]), api_keys.names(session, {row.owner_id}))


def to_responses(session: Session, page: Page[JobRow]) -> ListOf[Job]:
    """Convert a page of rows; their positions in the queue are read together."""
    positions = jobs.queue_positions(session, page.items)
    names = api_keys.names(session, {row.owner_id for row in page.items})
    return ListOf.of(page, lambda row: _to_response(session, row, positions, names))


def _to_response(session: Session, row: JobRow, positions: Mapping[str, int], names: Mapping[str, str]) -> Job:
    model = models.of_job(session, row.id) if row.state == "succeeded" else None
    licenses = [License.of(part) for part in models.licenses_of_job(session, row)]
    return Job.of(
        row,
        version=model.version if model else None,
        queue_position=positions.get(row.id),
        owner_name=names.get(row.owner_id),
        licenses=licenses,
    )


def event_page(session: Session, job_id: str, *, after: int, limit: int) -> ListOf[Event]:
    """Return a page of events, oldest first."""
    rows = job_events.events(session, job_id, after=after, limit=limit + 1)
    page = [Event.of(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return ListOf(data=page, has_more=has_more, next_cursor=str(page[-1].id) if has_more else None)


def log_page(session: Session, job_id: str, *, after: int, limit: int) -> ListOf[LogLine]:
    """Return a page of log lines, oldest first."""
    rows = job_events.log_lines(session, job_id, after=after, limit=limit + 1)
    page = [LogLine.of(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return ListOf(data=page, has_more=has_more, next_cursor=str(page[-1].id) if has_more else None)


def read_report(row: JobRow) -> dict[str, Any]:
    """Return the report of a job; raises `NotFound` if there is none."""
    if row.report is not None:
        return row.report
    raise NotFound("report of job", row.id)
