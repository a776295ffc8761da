"""`python -m worker.jobs.validate_dataset JOB FENCE`: the validation of one dataset.

This process fetches what was uploaded and publishes what came of it; the reading in between is done in the jail.
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
SMALLEST_FILE_BOUND_BYTES = 8_000_000_000
EXPANSION = 4
"""How much larger than its upload a dataset may be, beyond `SMALLEST_FILE_BOUND_BYTES`."""


def validate(claim: Claim, folder: Path, _line: ChildEnd) -> None:
    """Fetch, read in jail, publish, and write down dataset and job in one transaction."""
    sources = [
        fetch_sources(source, folder / "sources" / str(number)) for number, source in enumerate(claim.spec["sources"])
    ]
    into, report_path = folder / "dataset", folder / "report.json"
    options = {name: claim.spec.get(name) for name in ("task", "format", "columns", "splits")}
    arguments = {"sources": [str(source) for source in sources], "into": str(into), **options}
    bounds = bounds_for(sum(source.stat().st_size for source in sources), worker_settings())
    try:
        sandbox.read_in_sandbox(arguments=arguments, report=report_path, bounds=bounds)
    except sandbox.LimitExceeded as error:
        settle(claim, into, too_costly(str(error)))
    else:
        settle(claim, into, json.loads(report_path.read_bytes()))


def fetch_sources(source: dict[str, str], folder: Path) -> Path:
    """The uploaded file under the name its owner gave it, by which formats are told apart."""
    folder.mkdir(parents=True)
    name = Path(source["filename"]).name
    found = blobs().fetch_file(source["key"], folder / f"fetched-{name}")
    named = folder / name
    named.symlink_to(found)
    return named


def bounds_for(uploaded_bytes: int, settings: WorkerSettings) -> sandbox.ResourceLimits:
    """A bomb is small: time and disk grow with what was uploaded."""
    seconds = settings.import_cpu_seconds + settings.import_cpu_seconds_per_megabyte * uploaded_bytes / MEGABYTE
    return sandbox.ResourceLimits(
        memory_bytes=settings.import_memory_bytes,
        cpu_seconds=int(seconds),
        file_bytes=max(SMALLEST_FILE_BOUND_BYTES, EXPANSION * uploaded_bytes),
    )


def too_costly(reason: str) -> dict[str, Any]:
    """The report on an upload that could not be read to its end."""
    error = {
        "code": "too_costly",
        "count": 1,
        "severity": "error",
        "hint": f"Upload it in smaller parts: {reason}.",
        "sample": [{"found": reason}],
    }
    nothing = dict.fromkeys(("rows", "accepted", "repaired", "rejected"), 0)
    return {"state": "rejected", **nothing, "errors": [error], "splits": {}, "classes": None, "suggestions": []}


def settle(claim: Claim, dataset: Path, report: dict[str, Any]) -> None:
    """Publish what is ready, then the verdict."""
    ready, size = report["state"] == "ready", 0
    key = f"datasets/{claim.dataset_id}"
    if ready:
        refuse_links(dataset)
        size = sum(file.stat().st_size for file in dataset.rglob("*"))
        blobs().put_tree(key, dataset, move=True)
    summary = report.pop("summary", None)

    retrying_transaction(
        lambda session: jobs.finish_validation(
            session, claim, ready=ready, report=report, summary=summary, key=key, size=size
        )
    )


def refuse_links(folder: Path) -> None:
    """Raise `ReaderDied` for a link: a compromised reader could leave one to a file that is not its own.

    A hard link counts, too: the folder is moved to the blobs, and a second name would let others change it there.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            raise sandbox.ReaderDied(f"the reader left a link: {path.name}")


if __name__ == "__main__":
    sys.exit(entrypoint.main(validate))
