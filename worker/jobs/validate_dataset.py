"""`python -m worker.jobs.validate_dataset JOB FENCE`: validate an upload and make a dataset of it.

This process fetches the upload and publishes the result; the upload is read in the sandbox in between.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store import jobs
from store.blobs import blobs
from worker import sandbox
from worker.jobs import entrypoint
from worker.retry import retrying_transaction
from worker.settings import WorkerSettings, worker_settings

if TYPE_CHECKING:
    from store.jobs import Claim
    from worker.control_channel import ChildEnd

MEGABYTE = 1_000_000
MIN_FILE_LIMIT_BYTES = 8_000_000_000
#: Ratio of dataset size to upload size that is allowed beyond `MIN_FILE_LIMIT_BYTES`.
EXPANSION = 4


def validate(claim: Claim, folder: Path, _channel: ChildEnd) -> None:
    """Fetch the upload, read it in the sandbox, and publish the dataset with its report."""
    sources = [
        fetch_sources(source, folder / "sources" / str(number)) for number, source in enumerate(claim.spec["sources"])
    ]
    into, report_path = folder / "dataset", folder / "report.json"
    options = {name: claim.spec.get(name) for name in ("task", "format", "columns", "splits")}
    arguments = {"sources": [str(source) for source in sources], "into": str(into), **options}
    limits = limits_for(sum(source.stat().st_size for source in sources), worker_settings())
    try:
        sandbox.read_in_sandbox(arguments=arguments, report=report_path, limits=limits)
    except sandbox.LimitExceeded as error:
        publish(claim, into, make_limit_report(str(error)))
    else:
        publish(claim, into, json.loads(report_path.read_bytes()))


def fetch_sources(source: dict[str, str], folder: Path) -> Path:
    """Fetch an uploaded file, under its original name, by which formats are detected."""
    folder.mkdir(parents=True)
    name = Path(source["filename"]).name
    file = blobs().fetch_file(source["key"], folder / f"fetched-{name}")
    link = folder / name
    link.symlink_to(file)
    return link


def limits_for(uploaded_bytes: int, settings: WorkerSettings) -> sandbox.ResourceLimits:
    """Return limits that grow with the upload: a decompression bomb is small."""
    seconds = settings.import_cpu_seconds + settings.import_cpu_seconds_per_megabyte * uploaded_bytes / MEGABYTE
    return sandbox.ResourceLimits(
        memory_bytes=settings.import_memory_bytes,
        cpu_seconds=int(seconds),
        file_bytes=max(MIN_FILE_LIMIT_BYTES, EXPANSION * uploaded_bytes),
    )


def make_limit_report(reason: str) -> dict[str, Any]:
    """Return the report on an upload that exceeded a limit."""
    error = {
        "code": "too_costly",
        "count": 1,
        "severity": "error",
        "hint": f"Upload it in smaller parts: {reason}.",
        "sample": [{"found": reason}],
    }
    counts = dict.fromkeys(("rows", "accepted", "repaired", "rejected"), 0)
    return {"state": "rejected", **counts, "errors": [error], "splits": {}, "classes": None, "suggestions": []}


def publish(claim: Claim, dataset: Path, report: dict[str, Any]) -> None:
    """Publish the dataset if it is ready, then end its validation."""
    is_ready, size = report["state"] == "ready", 0
    key = f"datasets/{claim.dataset_id}"
    if is_ready:
        reject_links(dataset)
        size = sum(file.stat().st_size for file in dataset.rglob("*"))
        blobs().put_tree(key, dataset, move=True)
    summary = report.pop("summary", None)

    retrying_transaction(
        lambda session: jobs.finish_validation(
            session, claim, ready=is_ready, report=report, summary=summary, key=key, size=size
        )
    )


def reject_links(folder: Path) -> None:
    """Raise `ReaderDied` for a link.

    A compromised reader could leave one to a file that is not its own.

    A hard link counts, too: the folder is moved to the blobs, and a second name would let others change it there.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            raise sandbox.ReaderDied(f"the reader left a link: {path.name}")


if __name__ == "__main__":
    sys.exit(entrypoint.main(validate))
