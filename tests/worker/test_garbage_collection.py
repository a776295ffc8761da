"""Files without a row are deleted, but not too early."""

from __future__ import annotations

import time

import pytest

from store.blobs import blobs
from store.database import transaction
from store.ids import new_id
from store.tables import Model
from tests.support.worker.machine import Machine
from worker.garbage_collection import DAY_SECONDS, collect_garbage

pytestmark = pytest.mark.process


def make_old_id(prefix: str, *, seconds: float) -> str:
    milliseconds = int((time.time() - seconds) * 1000)
    return f"{prefix}_{milliseconds:012x}{new_id(prefix)[-20:]}"


@pytest.fixture
def machine(tmp_path):
    with Machine(tmp_path) as machine:
        yield machine


def put_package(tmp_path, key: str) -> str:
    folder = tmp_path / "package"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text("{}")
    blobs().put_tree(key, folder)
    return key


def test_a_package_without_a_model_is_deleted_after_a_day(machine, tmp_path):
    young = put_package(tmp_path, f"models/{make_old_id('mdl', seconds=DAY_SECONDS - 60)}")
    old = put_package(tmp_path, f"models/{make_old_id('mdl', seconds=DAY_SECONDS + 60)}")
    model_id = make_old_id("mdl", seconds=DAY_SECONDS + 60)
    registered = put_package(tmp_path, f"models/{model_id}")
    spec = {"kind": "finetune", "model": "digits"}
    job_id = machine.submit(spec, dataset_id=None)
    facts = {"architectures": {}, "parameters": 0, "bytes": 0, "metrics": {}, "formats": [], "files": []}
    identity = {"id": model_id, "name": "digits", "version": 1, "job_id": job_id}
    with transaction() as session:
        session.add(Model(key=registered, manifest_sha256="", **identity, **facts))
    collect_garbage()
    assert [blobs().exists(key) for key in (young, old, registered)] == [True, False, True]


def test_checkpoints_are_deleted_unless_their_job_may_resume(machine, tmp_path):
    orphaned = put_package(tmp_path, f"runs/{make_old_id('job', seconds=DAY_SECONDS + 60)}/1/checkpoint-5")
    job_id = machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None)
    needed = put_package(tmp_path, f"runs/{job_id}/1/checkpoint-5")
    collect_garbage()
    assert [blobs().exists(key) for key in (orphaned, needed)] == [False, True]


def test_the_scratch_folder_of_an_ended_run_is_deleted_at_once(machine):
    job_id = machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None)
    scratch = machine.home / "runs" / job_id / "1"
    scratch.mkdir(parents=True)
    collect_garbage()
    assert not scratch.exists()
