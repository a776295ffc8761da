"""Checks and resolves the specs of jobs that use a registered model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.jobs.references import find_dataset, find_model, read_manifest
from app.jobs.resolved_spec import ResolvedSpec
from ml.data.dataset import DatasetSummary
from ml.errors import Finding, SpecError
from ml.spec.evaluation import Evaluate, check_evaluation, choose_split

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.blobs import Blobs


def resolve_evaluation(session: Session, spec: Evaluate, *, blobs: Blobs) -> ResolvedSpec:
    """Check an evaluation and pin its references; raises `SpecError` with every fault."""
    findings: list[Finding] = []
    dataset = find_dataset(session, spec.dataset, findings)
    model = find_model(session, spec.model, findings, path="model")
    summary = DatasetSummary.model_validate(dataset.summary) if dataset and dataset.state == "ready" else None
    if model is not None:
        findings += check_evaluation(spec, read_manifest(model, blobs), summary)
    if findings or model is None or dataset is None:
        raise SpecError.of(findings)
    request = spec.model_dump(mode="json", exclude_none=True)
    request |= {"model": f"{model.name}@{model.version}", "dataset": f"{dataset.name}@{dataset.version}"}
    resolved = {**request, "split": choose_split(spec, summary)} if summary is not None else request
    return ResolvedSpec(kind=spec.kind, spec=resolved, request=request, dataset_id=dataset.id, model_name=None)
