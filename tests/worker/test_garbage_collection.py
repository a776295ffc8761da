"""Workers delete what is of no use; the rules are tested with `store.disk`."""

from __future__ import annotations

import pytest

from store.blobs import blobs
from store.database import transaction
from store.tables import Job
from tests.support.worker.machine import Machine
from worker.garbage_collection import collect_garbage, collect_local_garbage

pytestmark = pytest.mark.process


@pytest.fixture
def machine(tmp_path):
    with Machine(tmp_path, PLINTH_CHECKPOINT_RETENTION_DAYS="0") as machine:
        yield machine


def test_checkpoints_of_ended_jobs_are_deleted_as_the_settings_say(machine, tmp_path):
    jobs = [machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None) for _ in range(2)]
    for job_id in jobs:
        folder = tmp_path / "checkpoint"
        folder.mkdir()
        (folder / "weights").write_text("{}")
        blobs().put_tree(f"runs/{job_id}/1/checkpoint-5", folder, move=True)
    with transaction() as session:
        job = session.get(Job, jobs[0])
        job.state, job.finished_at = "failed", job.created_at
    collect_garbage()
    assert [blobs().exists(f"runs/{job_id}/1/checkpoint-5") for job_id in jobs] == [False, True]


def test_the_scratch_folder_of_an_ended_run_is_deleted_at_once(machine):
    job_id = machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None)
    scratch = machine.home / "runs" / job_id / "1"
    scratch.mkdir(parents=True)
    collect_local_garbage()
    assert not scratch.exists()
