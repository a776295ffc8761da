"""Kind of job -> its program. A new kind needs a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from store.tables import JobKind


@dataclass(frozen=True, slots=True)
class JobProgram:
    """A child process that runs one claim of a job: `python -m module JOB FENCE`."""

    #: Dotted name. The supervisor must not import the module, as some of them import torch; a test imports them all.
    module: str
    #: Whether it imports torch itself, so that it is worth waiting for the fork server.
    imports_torch: bool = False


PROGRAMS: Final[Mapping[str, JobProgram]] = {
    JobKind.VALIDATE: JobProgram("worker.jobs.validate_dataset"),
    JobKind.DERIVE: JobProgram("worker.jobs.derive_dataset"),
    JobKind.PRETRAIN: JobProgram("worker.jobs.train", imports_torch=True),
    JobKind.FINETUNE: JobProgram("worker.jobs.train", imports_torch=True),
    JobKind.IMPORT: JobProgram("worker.jobs.interchange.import_model"),
    JobKind.EXPORT: JobProgram("worker.jobs.interchange.export_model", imports_torch=True),
    JobKind.SWEEP: JobProgram("worker.jobs.sweep"),
    JobKind.EVALUATE: JobProgram("worker.jobs.evaluate_model"),
    JobKind.COMPARE: JobProgram("worker.jobs.adaptation.compare_versions"),
    JobKind.REPRODUCE: JobProgram("worker.jobs.reproduce", imports_torch=True),
    JobKind.RECOMMEND: JobProgram("worker.jobs.recommend_base"),
    JobKind.PRUNE: JobProgram("worker.jobs.prune", imports_torch=True),
    JobKind.BATCH_PREDICT: JobProgram("worker.jobs.batch_predict"),
}
