"""`python -m worker.jobs.interchange.import_model JOB FENCE`: import a model of another library.

This process fetches the upload and registers the result; the upload is read in the sandbox in between.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ml.errors import PackageError
from ml.package.package import ModelPackage
from store import uploads
from store.blobs import blobs
from store.database import transaction
from worker import sandbox
from worker.control_channel import LEAVE
from worker.jobs import entrypoint
from worker.jobs.interchange.hub_download import download_from_hub
from worker.jobs.progress import PhaseProgress
from worker.jobs.registration import register
from worker.jobs.validate_dataset import fetch_sources, reject_links
from worker.settings import WorkerSettings, worker_settings

if TYPE_CHECKING:
    from pathlib import Path

    from store.jobs import Claim
    from worker.control_channel import ChildEnd

PHASES = ("fetching", "unpacking", "reading", "exporting", "checking", "registering")
MEGABYTE = 1_000_000


def import_model(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Fetch the upload, read it in the sandbox, and register the model."""
    into, report_path = folder / "package", folder / "report.json"
    phases = PhaseProgress(claim, PHASES)
    phases(PHASES[0])
    if "source" in claim.spec:
        source = fetch_sources(claim.spec["source"], folder / "source")
    else:
        source = download_from_hub(claim.spec["hub"], folder, token=worker_settings().hub_token)
    arguments = {
        "source": str(source),
        "into": str(into),
        "options": {name: claim.spec.get(name) for name in ("task", "labels")},
    }
    try:
        sandbox.read_in_sandbox(
            reader="model",
            arguments=arguments,
            report=report_path,
            limits=limits_for(source.stat().st_size, worker_settings()),
            on_phase=phases,
            should_leave=lambda: channel.request == LEAVE,
        )
    except sandbox.LimitExceeded as error:
        raise PackageError(
            f"the model cannot be read: {error}", hint="Raise PLINTH_MODEL_IMPORT_MEMORY_BYTES on the worker's machine."
        ) from error
    report = json.loads(report_path.read_bytes())
    if payload := report.get("error"):
        raise _to_package_error(payload)
    reject_links(into)
    phases(PHASES[-1])
    for note in report["notes"]:
        phases.log(note)
    license = claim.spec.get("license") or report.get("license")
    package = ModelPackage.open(into)
    register(package, claim, parent_id=None, report=report, reason="completed", license=license)
    delete_upload(claim)


def limits_for(uploaded_bytes: int, settings: WorkerSettings) -> sandbox.ResourceLimits:
    """Return the limits: building, exporting and comparing a network takes several times its weights."""
    return sandbox.ResourceLimits(
        memory_bytes=settings.model_import_memory_bytes,
        cpu_seconds=int(settings.model_import_cpu_seconds + 5 * uploaded_bytes / MEGABYTE),
        file_bytes=8 * uploaded_bytes + 1_000 * MEGABYTE,
    )


def delete_upload(claim: Claim) -> None:
    """Delete the upload, which is a model by now."""
    with transaction() as session:
        if claim.spec.get("upload"):
            uploads.delete(session, claim.spec["upload"])
    if "source" in claim.spec:
        blobs().delete(claim.spec["source"]["key"])


def _to_package_error(payload: dict[str, Any]) -> PackageError:
    error = PackageError(payload["message"], hint=payload["hint"])
    error.code = payload["code"]
    return error


if __name__ == "__main__":
    sys.exit(entrypoint.main(import_model))
