"""Kind of job -> its program and lane. A new kind needs a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from store.tables import JobKind


class Lane(StrEnum):
    """Queue of jobs with slots of its own: a full lane delays no other lane."""

    #: Runs that compute: `PLINTH_JOB_SLOTS` at once.
    COMPUTING = "computing"
    #: Imports and exports: `PLINTH_IMPORT_SLOTS` at once.
    IMPORTING = "importing"
    #: Sweeps, which start their trials and leave: they wait for nothing, as their trials may wait for them.
    COORDINATING = "coordinating"


@dataclass(frozen=True, slots=True)
class JobProgram:
    """A child process that runs one claim of a job: `python -m module JOB FENCE`."""

    #: Dotted name. The supervisor must not import the module, as some of them import torch; a test imports them all.
    module: str
    lane: Lane = Lane.COMPUTING
    #: Whether it imports torch itself, so that it is worth waiting for the fork server.
    imports_torch: bool = False


PROGRAMS: Final[Mapping[str, JobProgram]] = {
    JobKind.VALIDATE: JobProgram("worker.jobs.validate_dataset", lane=Lane.IMPORTING),
    JobKind.DERIVE: JobProgram("worker.jobs.derive_dataset", lane=Lane.IMPORTING),
    JobKind.PRETRAIN: JobProgram("worker.jobs.train", imports_torch=True),
    JobKind.FINETUNE: JobProgram("worker.jobs.train", imports_torch=True),
    JobKind.IMPORT: JobProgram("worker.jobs.interchange.import_model", lane=Lane.IMPORTING),
    JobKind.EXPORT: JobProgram("worker.jobs.interchange.export_model", lane=Lane.IMPORTING, imports_torch=True),
    # It trains nothing: in the lane of its trials, one slot would be a deadlock.
    JobKind.SWEEP: JobProgram("worker.jobs.sweep", lane=Lane.COORDINATING),
    JobKind.EVALUATE: JobProgram("worker.jobs.evaluate_model"),
    JobKind.COMPARE: JobProgram("worker.jobs.adaptation.compare_versions"),
    JobKind.REPRODUCE: JobProgram("worker.jobs.reproduce", imports_torch=True),
    JobKind.RECOMMEND: JobProgram("worker.jobs.recommend_base"),
    JobKind.PRUNE: JobProgram("worker.jobs.prune", imports_torch=True),
    JobKind.BATCH_PREDICT: JobProgram("worker.jobs.batch_predict"),
}
