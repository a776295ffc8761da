"""`python -m worker.jobs.interchange.export_model JOB FENCE`: write a model in the format of another library."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from store import jobs, models
from store.blobs import blobs
from store.database import reading
from worker.jobs import entrypoint
from worker.jobs.progress import PhaseProgress
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from store.jobs import Claim
    from worker.control_channel import ChildEnd

PHASES = ("fetching", "reading", "writing", "checking", "publishing")
#: The time of every zip entry, so that equal folders make equal archives.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def export(claim: Claim, folder: Path, _channel: ChildEnd) -> None:
    """Fetch the package, export it, publish a zip, and end the job."""
    phases = PhaseProgress(claim, PHASES)
    phases(PHASES[0])
    with reading() as session:
        model = models.version(session, claim.spec["model"])
    package = blobs().fetch_tree(model.key, folder / "package")
    # Importing this takes seconds.
    from ml.learning.interchange.exporter import export_model

    format_name, opset = claim.spec["format"], claim.spec.get("opset")
    report = export_model(package, folder / "out", format=format_name, opset=opset, on_phase=phases)
    phases(PHASES[-1])
    archive = write_zip(folder / "out", folder / "out.zip")
    blobs().put_file(models.export_key(model.id, format_name), archive)
    for note in report["notes"]:
        phases.log(note)

    retrying_transaction(lambda session: jobs.succeed(session, claim, report=report, reason="completed"))


def write_zip(folder: Path, archive: Path) -> Path:
    """Write a folder to an uncompressed zip, as weights do not compress.

    Equal folders give equal bytes.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, zipped.open(entry, "w", force_zip64=True) as target:
                while block := source.read(1 << 20):
                    target.write(block)
    return archive


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(export))
