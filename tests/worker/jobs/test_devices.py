"""A job on several devices: its processes, and what happens when one of them dies."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.errors import SpecError
from ml.learning.pipeline import rank
from store import jobs
from store.database import transaction
from tests.support.worker.machine import Machine
from tests.support.worker.processes import is_alive
from tests.support.worker.waiting import until
from worker.jobs import device_probe
from worker.settings import WorkerSettings

SPEC = {
    "kind": "finetune",
    "dataset": "digits",
    "task": "image_classification",
    "architecture": {"name": "cnn"},
    "schedule": {"epochs": 100_000, "batch_size": 32, "precision": "float32", "checkpoint_every_seconds": 0.1},
    "seed": 7,
    "model": "digits",
}


def _other_rank(run: psutil.Process) -> psutil.Process:
    (other,) = [child for child in run.children() if rank.__name__ in child.cmdline()]
    return other


def _addresses(process: psutil.Process) -> set[Any]:
    connections = process.net_connections(kind="inet")
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="each process needs a core")
def test_a_dead_rank_is_a_crash_from_which_the_job_resumes(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        machine.start_worker()
        dataset_id = machine.import_digits()
        job_id = machine.submit({**SPEC, "devices": 2}, dataset_id=dataset_id)
        machine.wait_for_checkpoint(job_id)
        run = machine.run_of(job_id)
        other = _other_rank(run)
        assert os.getpgid(other.pid) == run.pid
        assert _addresses(run) | _addresses(other) == {"127.0.0.1"}
        other.kill()
        until(lambda: machine.job(job_id).crashes == 1)
        assert machine.job(job_id).error["message"] == "the process of rank 1 ended with SIGKILL"

        step = machine.checkpoint_step(job_id)
        machine.wait_for_checkpoint(job_id, after=step)
        other = _other_rank(machine.run_of(job_id))
        with transaction() as session:
            jobs.stop(session, job_id)
        job = machine.wait_for(job_id, "succeeded", "failed")
        assert (job.state, job.reason, job.fence) == ("succeeded", "stopped", 2)
        assert not is_alive(other.pid)
        assert job.report["training"]["devices"] == 2


def test_a_training_has_at_most_the_cores_of_its_slot() -> None:
    settings = WorkerSettings(device="cpu", job_slots=64)
    assert device_probe.choose_count("all", settings) == device_probe.choose_count(None, settings) == 1
    with pytest.raises(SpecError, match="this worker has 1 device for a training, not 2"):
        device_probe.choose_count(2, settings)
