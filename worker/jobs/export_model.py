"""`python -m worker.jobs.export_model JOB FENCE`: a model of ours becomes a folder that another library loads."""

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
_EPOCH = (1980, 1, 1, 0, 0, 0)


def send_away(claim: Claim, folder: Path, _line: ChildEnd) -> None:
    """Fetch the package, write and try the folder, publish it as a zip, and end the job."""
    phases = PhaseProgress(claim, PHASES)
    phases(PHASES[0])
    with reading() as session:
        model = models.version(session, claim.spec["model"])
    package = blobs().fetch_tree(model.key, folder / "package")
    # Seconds' worth of imports.
    from ml.learning.interchange.exporter import export_model

    wanted, opset = claim.spec["format"], claim.spec.get("opset")
    report = export_model(package, folder / "out", format=wanted, opset=opset, on_phase=phases)
    phases(PHASES[-1])
    archive = packed(folder / "out", folder / "out.zip")
    blobs().put_file(models.export_key(model.id, wanted), archive)
    for note in report["notes"]:
        phases.say(note)

    retrying_transaction(lambda session: jobs.succeed(session, claim, report=report, reason="completed"))


def packed(folder: Path, archive: Path) -> Path:
    """A zip, stored and not compressed: weights do not get smaller. Of equal folders always the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, zipped.open(entry, "w", force_zip64=True) as target:
                while block := source.read(1 << 20):
                    target.write(block)
    return archive


if __name__ == "__main__":
    entrypoint.leave(entrypoint.main(send_away))
