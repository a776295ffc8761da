"""`python -m worker.jobs.derive_dataset JOB FENCE`: make the next version of a dataset from its rows.

This process fetches the datasets and publishes the result; the operations are applied in the sandbox in between.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.data.derivation.feedback_rows import ADD_FEEDBACK
from ml.errors import DataError
from store import datasets
from store.database import reading
from worker import sandbox
from worker.jobs import entrypoint
from worker.jobs.adaptation.feedback_file import write_feedback
from worker.jobs.validate_dataset import fetch_dataset, fetch_upload, limits_for, make_limit_report, publish, size_of
from worker.settings import worker_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.jobs import Claim
    from store.tables import Dataset
    from worker.control_channel import ChildEnd


def derive(claim: Claim, folder: Path, _channel: ChildEnd) -> None:
    """Fetch the datasets, apply the operations in the sandbox, and publish the result."""
    with reading() as session:
        rows = {reference: datasets.get(session, row_id) for reference, row_id in claim.spec["dataset_ids"].items()}
        source = rows.pop(claim.spec["dataset"])
        reads_upload = datasets.reads_upload(source, claim.spec["operations"])
        upload = datasets.import_spec(session, source.id) if reads_upload else None
    if upload and datasets.reads_again(claim.spec["operations"]):
        upload = datasets.with_options(upload, claim.spec["operations"])
    into, report_path = folder / "dataset", folder / "report.json"
    classes = (source.summary or {}).get("classes") or ()
    added = write_feedback(claim.spec["operations"], folder / "feedback.jsonl", classes=classes)
    arguments: dict[str, Any] = {
        "dataset": None if reads_upload else str(fetch_dataset(source, folder / "source")),
        "upload": _fetch_upload(source, upload, folder) if reads_upload else None,
        "others": {
            reference: str(fetch_dataset(row, folder / "others" / str(number)))
            for number, (reference, row) in enumerate(rows.items())
        },
        "operations": [item for item in claim.spec["operations"] if item["operation"] != ADD_FEEDBACK],
        "feedback": str(added) if added else None,
        "name": claim.spec["dataset"],
        "into": str(into),
    }
    size = sum(row.bytes for row in (source, *rows.values()))
    size += size_of(arguments["upload"]) if arguments["upload"] else 0
    size += added.stat().st_size if added else 0
    limits = limits_for(size, worker_settings())
    try:
        sandbox.read_in_sandbox(arguments=arguments, report=report_path, limits=limits, reader="derivation")
    except sandbox.LimitExceeded as error:
        publish(claim, into, make_limit_report(error))
    else:
        publish(claim, into, json.loads(report_path.read_bytes()))


def _fetch_upload(source: Dataset, spec: Mapping[str, Any] | None, folder: Path) -> dict[str, Any]:
    """Fetch the files of an upload, and return the arguments of its import."""
    if spec is None:
        raise DataError(
            f"{source.name}@{source.version} was derived from another dataset, so it has no upload to read again",
            hint="Derive from its origin again, with other operations.",
        )
    return {**fetch_upload(spec, folder), "max_bad_rows": worker_settings().max_bad_rows}


if __name__ == "__main__":
    sys.exit(entrypoint.main(derive))
