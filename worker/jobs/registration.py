"""Registers a trained or imported package as a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.licenses import normalize_license
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST, LicensedPart
from ml.package.package import WEIGHTS
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from store.ids import new_id
from store.models import NewModel
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from ml.package.manifest import Manifest
    from ml.package.package import ModelPackage
    from store.jobs import Claim


def register(
    package: ModelPackage,
    claim: Claim,
    *,
    parent_id: str | None,
    report: Mapping[str, Any] | None,
    reason: str,
    license: str | None = None,
) -> None:
    """Publish the package, then create its row and end the job in one transaction.

    `license` is that of the model itself; those of its data and base are in their rows. If the row is never written,
    the garbage collection deletes the published package.
    """
    license = normalize_license(license) if license else None
    if licenses := _licenses(claim, license):
        package.state_licenses(licenses)
    model = _to_row(package, claim, parent_id, license)
    blobs().put_tree(model.key, package.directory, move=True)

    def end(session: Session) -> None:
        # Those of the test rows, too, which the last report of the training did not have.
        jobs.report(session, claim, metrics=model.metrics)
        jobs.succeed(session, claim, model=model, report=report, reason=reason)

    retrying_transaction(end)


def _licenses(claim: Claim, license: str | None) -> list[LicensedPart]:
    """Return the license of the model itself, then those of its data and bases."""
    with reading() as session:
        job = jobs.get(session, claim.job_id)
        parts = models.licenses_of_job(session, job)
    name = claim.model_name or claim.job_id
    own = [LicensedPart(kind="model", reference=name, license=license)] if license else []
    return own + [LicensedPart(kind=part.kind, reference=part.reference, license=part.license) for part in parts]


def _to_row(package: ModelPackage, claim: Claim, parent_id: str | None, license: str | None) -> NewModel:
    manifest = package.manifest
    model_id = new_id("mdl")
    return NewModel(
        id=model_id,
        name=claim.model_name or claim.job_id,
        task=manifest.task.name if manifest.task else None,
        architectures={slot: choice.name for slot, choice in manifest.architectures.items()},
        parameters=manifest.parameters,
        bytes=sum(file.bytes for file in manifest.files),
        metrics={name: value for name, value in manifest.metrics.items() if value is not None},
        labels=manifest.labels,
        formats=_formats(manifest),
        files=[file.model_dump() for file in manifest.files],
        key=f"models/{model_id}",
        manifest_sha256=digest(package.directory / MANIFEST),
        parent_id=parent_id,
        license=license,
    )


def _formats(manifest: Manifest) -> list[str]:
    has_weights = any(file.path == WEIGHTS for file in manifest.files)
    return [*(["safetensors"] if has_weights else []), *(["onnx"] if manifest.graphs else [])]
