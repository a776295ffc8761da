"""What runs for each kind of job: the module of its child process. Whoever adds a kind adds a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from store import jobs


@dataclass(frozen=True, slots=True)
class Kind:
    """`python -m module JOB FENCE` does the work of one run."""

    module: str
    takes_a_slot: bool = True
    """One of the few places for runs that may take hours; what is short never waits behind them."""


KINDS: Final[Mapping[str, Kind]] = {
    jobs.VALIDATE: Kind("worker.jobs.validate_dataset", takes_a_slot=False),
    "pretrain": Kind("worker.jobs.train"),
    "finetune": Kind("worker.jobs.train"),
    jobs.IMPORT: Kind("worker.jobs.import_model", takes_a_slot=False),
    "export": Kind("worker.jobs.export_model", takes_a_slot=False),
}
