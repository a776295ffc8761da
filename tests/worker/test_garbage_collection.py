"""What no row stands for is swept up, in time and not before."""

from __future__ import annotations

import time

import pytest

from store.blobs import blobs
from store.database import transaction
from store.ids import new_id
from store.tables import Model
from tests.support.worker.machine import Machine
from worker.garbage_collection import DAY_SECONDS, sweep

pytestmark = pytest.mark.process


def aged_id(prefix: str, *, seconds: float) -> str:
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


def test_a_package_that_never_became_a_model_goes_after_a_day(machine, tmp_path):
    young = put_package(tmp_path, f"models/{aged_id('mdl', seconds=DAY_SECONDS - 60)}")
    old = put_package(tmp_path, f"models/{aged_id('mdl', seconds=DAY_SECONDS + 60)}")
    model_id = aged_id("mdl", seconds=DAY_SECONDS + 60)
    known = put_package(tmp_path, f"models/{model_id}")
    spec = {"kind": "finetune", "model": "digits"}
    job_id = machine.submit(spec, dataset_id=None)
    facts = {"architectures": {}, "parameters": 0, "bytes": 0, "metrics": {}, "formats": [], "files": []}
    with transaction() as session:
        session.add(Model(id=model_id, name="digits", version=1, job_id=job_id, key=known, manifest_sha256="", **facts))
    sweep()
    assert [blobs().exists(key) for key in (young, old, known)] == [True, False, True]


def test_checkpoints_stay_while_their_job_may_go_on(machine, tmp_path):
    gone = put_package(tmp_path, f"runs/{aged_id('job', seconds=DAY_SECONDS + 60)}/1/checkpoint-5")
    job_id = machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None)
    kept = put_package(tmp_path, f"runs/{job_id}/1/checkpoint-5")
    sweep()
    assert [blobs().exists(key) for key in (gone, kept)] == [False, True]


def test_scratch_of_a_run_that_is_over_goes_at_once(machine):
    job_id = machine.submit({"kind": "finetune", "model": "digits"}, dataset_id=None)
    scratch = machine.home / "runs" / job_id / "1"
    scratch.mkdir(parents=True)
    sweep()
    assert not scratch.exists()
