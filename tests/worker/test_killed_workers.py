"""Workers that are killed while they run a queue of jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.worker.killed_workers import run_with_kills
from tests.support.worker.machine import Machine


@pytest.mark.process
def test_killed_workers_lose_no_job_double_none_and_keep_the_order_of_owners(tmp_path: Path) -> None:
    """`python -m benchmarks.queue.killed_workers` is the same with 400 jobs and 4 workers, on PostgreSQL too."""
    with Machine(tmp_path, PLINTH_WARM_WORKER="0", PLINTH_MAX_CRASHES="100") as machine:
        outcome = run_with_kills(machine, jobs_count=30, workers=2, kills=2)
    assert (outcome.lost, outcome.doubled, outcome.swapped, outcome.kills) == (0, 0, 0, 2)
    assert outcome.repeated <= outcome.kills
