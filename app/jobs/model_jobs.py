"""Checks and resolves the specs of jobs that use a registered model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.jobs.references import find_dataset, find_model, read_manifest
from app.jobs.resolved_spec import ResolvedSpec
from ml.config import Choice
from ml.data.dataset import DatasetSummary
from ml.errors import Finding, SpecError
from ml.spec.batch_prediction import BatchPredict, check_batch_prediction
from ml.spec.evaluation import Evaluate, check_evaluation, choose_split
from ml.spec.recommendation import MAX_BASES, check_base, check_recommendation
from ml.spec.reproduction import Reproduce
from store import jobs, models
from store.errors import NotFound
from store.tables import JobKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ml.package.manifest import Manifest
    from ml.spec.catalog import Catalog
    from ml.spec.recommendation import Recommend
    from store.blobs import Blobs


#: Newest models among which base models are looked for.
MAX_LISTED: Final = 200


def resolve_evaluation(session: Session, spec: Evaluate, *, blobs: Blobs) -> ResolvedSpec:
    """Check an evaluation and pin its references; raises `SpecError` with every fault."""

    def check(manifest: Manifest, summary: DatasetSummary | None) -> list[Finding]:
        return check_evaluation(spec, manifest, summary)

    resolved, summary = _resolve(session, spec, check, blobs=blobs)
    if summary is None:
        return resolved
    return replace(resolved, spec={**resolved.spec, "split": choose_split(spec, summary)})


def resolve_batch_prediction(session: Session, spec: BatchPredict, *, blobs: Blobs) -> ResolvedSpec:
    """Check a batch prediction and pin its references; raises `SpecError` with every fault."""

    def check(manifest: Manifest, summary: DatasetSummary | None) -> list[Finding]:
        return check_batch_prediction(spec, manifest, summary)

    return _resolve(session, spec, check, blobs=blobs)[0]


def resolve_recommendation(session: Session, spec: Recommend, *, catalog: Catalog, blobs: Blobs) -> ResolvedSpec:
    """Check a comparison of base models, and pin all that fit.

    Raises `SpecError` with every fault.
    """
    findings: list[Finding] = []
    dataset = find_dataset(session, spec.dataset, findings)
    if dataset is not None and dataset.state not in ("ready", "rejected"):
        message = f"{dataset.name}@{dataset.version} is {dataset.state}"
        hint = "Wait until it is ready: which base models fit depends on its rows."
        findings.append(Finding(code="dataset_not_ready", path="dataset", message=message, expected="ready", hint=hint))
    if findings or dataset is None:
        raise SpecError.of(findings)
    summary = DatasetSummary.model_validate(dataset.summary)
    if findings := check_recommendation(spec, catalog, summary):
        raise SpecError.of(findings)
    bases = _find_bases(session, spec, summary, catalog=catalog, blobs=blobs)
    pinned: dict[str, Any] = {"dataset": f"{dataset.name}@{dataset.version}", "bases": bases}
    request = spec.model_dump(mode="json", exclude_unset=True) | pinned
    task = spec.task or Choice(name=summary.task or "")
    resolved = spec.model_dump(mode="json", exclude_none=True) | {"task": task.model_dump(mode="json")} | pinned
    return ResolvedSpec(kind=spec.kind, spec=resolved, request=request, dataset_id=dataset.id, model_name=None)


def _find_bases(
    session: Session, spec: Recommend, summary: DatasetSummary, *, catalog: Catalog, blobs: Blobs
) -> list[str]:
    """Return the models to compare as `name@version`.

    Raises `SpecError` if one or all do not fit.
    """
    findings: list[Finding] = []
    fitting: list[str] = []
    if spec.bases is not None:
        rows = [row for name in spec.bases if (row := find_model(session, name, findings, path="bases")) is not None]
    else:
        rows = [row for row in models.listing(session, limit=MAX_LISTED, cursor=None).items if row.task is None]
    for row in rows:
        reference = f"{row.name}@{row.version}"
        reasons = check_base(spec, reference, catalog, read_manifest(row, blobs), summary)
        if not reasons:
            fitting.append(reference)
        elif spec.bases is not None:
            findings += [replace(reason, path="bases") for reason in reasons]
    if not fitting and not findings:
        hint = "Pretrain one, or import one: `plinth bases make` and `plinth models import`."
        message = f"no registered base model fits {spec.dataset}"
        findings.append(Finding(code="needs_base", path="bases", message=message, hint=hint))
    if findings:
        raise SpecError.of(findings)
    return list(dict.fromkeys(fitting))[:MAX_BASES]


def resolve_reproduction(session: Session, spec: Reproduce) -> ResolvedSpec:
    """Check that a job can be repeated; raises `SpecError` with the reason if not."""
    try:
        job = jobs.get(session, spec.job)
    except NotFound:
        raise SpecError.of([_refuse(spec, "does not exist", "List jobs with GET /api/v1/jobs.")]) from None
    model = models.of_job(session, job.id)
    dataset, _ = models.origin(session, model) if model else (None, None)
    finding = None
    if job.kind not in (JobKind.PRETRAIN, JobKind.FINETUNE):
        finding = _refuse(spec, f"is of the kind {job.kind}, which trains nothing", "Name a training job.")
    elif job.state != "succeeded":
        finding = _refuse(spec, f"is {job.state}", "Only a training that succeeded can be reproduced.")
    elif model is None or model.deleted_at is not None:
        finding = _refuse(spec, "has no model any more to compare with", "Name a job whose model exists.")
    elif dataset is None or dataset.deleted_at is not None:
        finding = _refuse(spec, "was trained on a dataset that was deleted", "Name a job whose dataset exists.")
    elif job.reason == "stopped":
        finding = _refuse(spec, "was stopped by a request", "Name a job that ended by itself.")
    if finding is not None:
        raise SpecError.of([finding])
    pinned = spec.model_dump(mode="json")
    return ResolvedSpec(kind=spec.kind, spec=pinned, request=pinned, dataset_id=job.dataset_id, model_name=None)


def _refuse(spec: Reproduce, reason: str, hint: str) -> Finding:
    return Finding(code="not_reproducible", path="job", message=f"{spec.job} {reason}", found=spec.job, hint=hint)


def _resolve(
    session: Session,
    spec: Evaluate | BatchPredict,
    check: Callable[[Manifest, DatasetSummary | None], list[Finding]],
    *,
    blobs: Blobs,
) -> tuple[ResolvedSpec, DatasetSummary | None]:
    """Return the spec with pinned references, and the summary of a dataset that is ready."""
    findings: list[Finding] = []
    dataset = find_dataset(session, spec.dataset, findings)
    model = find_model(session, spec.model, findings, path="model")
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    if model is not None:
        findings += check(read_manifest(model, blobs), summary)
    if findings or model is None or dataset is None:
        raise SpecError.of(findings)
    pinned = {"model": f"{model.name}@{model.version}", "dataset": f"{dataset.name}@{dataset.version}"}
    request = spec.model_dump(mode="json", exclude_unset=True) | pinned
    resolved = spec.model_dump(mode="json", exclude_none=True) | pinned
    return ResolvedSpec(kind=spec.kind, spec=resolved, request=request, dataset_id=dataset.id, model_name=None), summary
