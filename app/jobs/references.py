"""Look-up of the datasets and models that specs name, as findings where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.errors import Finding, unknown
from ml.package.manifest import MANIFEST, Manifest, parse_manifest
from store import datasets, models
from store.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.blobs import Blobs
    from store.tables import Dataset as DatasetRow
    from store.tables import Model as ModelRow


def find_dataset(session: Session, reference: str, findings: list[Finding]) -> DatasetRow | None:
    """Return a dataset that is ready or will be.

    Otherwise the reason is added to `findings`.
    """
    try:
        row = datasets.get(session, reference)
    except NotFound:
        findings.append(unknown("dataset", reference, datasets.names(session), path="dataset"))
        return None
    # A job may wait for a dataset that is being validated.
    if row.state == "rejected":
        findings.append(
            Finding(
                code="dataset_not_ready",
                path="dataset",
                message=f"{row.name}@{row.version} is {row.state}",
                expected="ready",
                found=row.state,
                hint=f"GET /api/v1/datasets/{row.id}/report lists the problems in its data.",
            )
        )
    return row


def pin(spec: dict[str, Any], path: str, value: str) -> None:
    """Replace the reference at a path of a spec by one to a version."""
    *parents, name = path.split(".")
    for parent in parents:
        spec = spec[parent]
    spec[name] = value


def find_model(session: Session, reference: str, findings: list[Finding], *, path: str) -> ModelRow | None:
    """Return a version of a model; otherwise None, with the reason in `findings`."""
    try:
        return models.version(session, reference)
    except NotFound:
        findings.append(unknown("model", reference, models.names(session), path=path))
        return None


def read_manifest(row: ModelRow, blobs: Blobs) -> Manifest:
    """Read the manifest of a registered model."""
    with blobs.open(f"{row.key}/{MANIFEST}") as file:
        return parse_manifest(file.read())
