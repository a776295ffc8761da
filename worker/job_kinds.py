"""What runs for each kind of job: the module of its child process. Whoever adds a kind adds a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from store import jobs


@dataclass(frozen=True, slots=True)
class JobKind:
    """`python -m module JOB FENCE` does the work of one run."""

    module: str
    takes_a_slot: bool = True
    """One of the few places for runs that may take hours; what is short never waits behind them."""


KINDS: Final[Mapping[str, JobKind]] = {
    jobs.VALIDATE: JobKind("worker.jobs.validate_dataset", takes_a_slot=False),
    "pretrain": JobKind("worker.jobs.train"),
    "finetune": JobKind("worker.jobs.train"),
    jobs.IMPORT: JobKind("worker.jobs.import_model", takes_a_slot=False),
    "export": JobKind("worker.jobs.export_model", takes_a_slot=False),
}
