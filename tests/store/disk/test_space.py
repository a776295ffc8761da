"""Space is measured by kind, and only what nothing needs any more is deleted."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store import datasets, disk, job_events, jobs, uploads
from store.blobs import blobs
from store.database import transaction
from store.errors import NotFound
from store.ids import new_id
from store.settings import store_settings
from store.tables import Dataset, Job
from tests.store.jobs.test_jobs import claim_job, in_transaction, make_model, submit_job

pytestmark = pytest.mark.usefixtures("database")


def old_id(prefix: str, *, days: float) -> str:
    milliseconds = int((time.time() - days * 86_400) * 1000)
    return f"{prefix}_{milliseconds:012x}{new_id(prefix)[-20:]}"


def put(tmp_path: Path, key: str, content: bytes = b"12345") -> str:
    (tmp_path / "file").write_bytes(content)
    blobs().put_file(f"{key}/file", tmp_path / "file")
    return key


def end(job_id: str, *, days_ago: float, state: str = "failed") -> None:
    with transaction() as session:
        job = jobs.get(session, job_id)
        job.state, job.finished_at = state, datetime.now(UTC) - timedelta(days=days_ago)


def upload_dataset(tmp_path: Path, *, state: str, days_ago: float) -> str:
    """Make a dataset of an upload; returns `prefix/id` of its file."""
    key = put(tmp_path, f"uploads/{old_id('upl', days=50)}")
    with transaction() as session:
        row = datasets.create(session, name="pets", sources=[{"key": f"{key}/file", "filename": "file"}])
    with transaction() as session:
        dataset = session.get(Dataset, row.id)
        assert dataset is not None
        dataset.state = state
        job = session.query(Job).filter_by(dataset_id=row.id).one()
        job.state, job.finished_at = "succeeded", datetime.now(UTC) - timedelta(days=days_ago)
    return key


def use_of(kind: str, *, older_than_days: float | None = None) -> tuple[int, int, int, int]:
    (use,) = disk.measure([kind], older_than_days=older_than_days)
    return use.count, use.bytes, use.expired_count, use.expired_bytes


def test_checkpoints_of_a_job_expire_after_its_end_by_their_setting(tmp_path: Path) -> None:
    running, recent, old = submit_job(), submit_job(), submit_job()
    for job_id in (running, recent, old):
        put(tmp_path, f"runs/{job_id}/1/checkpoint-5")
    orphan = put(tmp_path, f"runs/{old_id('job', days=2)}")
    end(recent, days_ago=0.5)
    end(old, days_ago=1.5)
    assert use_of("checkpoints") == (4, 20, 2, 10)
    assert use_of("checkpoints", older_than_days=0) == (4, 20, 3, 15)
    deleted = disk.clean(["checkpoints"])["checkpoints"]
    assert {item.name for item in deleted} == {f"runs/{old}", orphan}
    assert [blobs().exists(f"runs/{job_id}/1/checkpoint-5/file") for job_id in (running, recent, old)] == [
        True,
        True,
        False,
    ]


def test_files_of_rejected_datasets_expire_and_those_of_ready_ones_stay(tmp_path: Path) -> None:
    ready = upload_dataset(tmp_path, state="ready", days_ago=30)
    recent = upload_dataset(tmp_path, state="rejected", days_ago=6)
    old = upload_dataset(tmp_path, state="rejected", days_ago=8)
    assert {item.name for item in disk.clean(["uploads"])["uploads"]} == {old}
    assert {item.name for item in disk.clean(["uploads"], older_than_days=0)["uploads"]} == {recent}
    assert blobs().exists(f"{ready}/file")


def test_files_of_a_rejected_dataset_stay_while_it_is_read_again(tmp_path: Path) -> None:
    upload_dataset(tmp_path, state="rejected", days_ago=8)
    with transaction() as session:
        row = datasets.get(session, "pets@1")
        repaired = datasets.derive(session, row, operations=[{"operation": "leave_out_bad_rows"}])
    assert use_of("uploads", older_than_days=0)[2] == 0
    with transaction() as session:
        job_id = session.query(Job).filter_by(dataset_id=repaired.id).one().id
    end(job_id, days_ago=0)
    assert use_of("uploads")[2] == 1


def test_files_of_a_model_import_expire_after_its_end(tmp_path: Path) -> None:
    key = put(tmp_path, f"imports/{old_id('upl', days=50)}")
    with transaction() as session:
        spec = {"kind": "import", "model": "m", "source": {"key": f"{key}/file", "filename": "file"}}
        job_id = jobs.submit(session, kind="import", spec=spec, model_name="m").id
    assert use_of("uploads", older_than_days=0)[2] == 0
    end(job_id, days_ago=8)
    assert use_of("uploads")[2] == 1


def test_an_upload_that_nothing_uses_is_deleted_with_its_row_once_it_expires(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ids = []
    for expires_at in (now - timedelta(hours=1), now + timedelta(hours=1)):
        with transaction() as session:
            row = uploads.create(session, length=5, filename="file", metadata="", expires_at=expires_at)
            uploads.complete(session, row.id)
        put(tmp_path, f"uploads/{row.id}")
        ids.append(row.id)
    (deleted,) = disk.clean(["uploads"], older_than_days=0)["uploads"]
    assert deleted.name == f"uploads/{ids[0]}"
    with transaction() as session:
        assert uploads.get(session, ids[1])
        with pytest.raises(NotFound):
            uploads.get(session, ids[0])


def test_an_export_expires_after_its_last_job_and_goes_with_its_model(tmp_path: Path) -> None:
    claim = claim_job(submit_job())
    with transaction() as session:
        model = jobs.succeed(session, claim, model=make_model())
        assert model is not None
    reference = f"{model.name}@{model.version}"
    put(tmp_path, f"exports/{model.id}")
    gone = put(tmp_path, f"exports/{old_id('mdl', days=2)}")
    with transaction() as session:
        spec = {"kind": "export", "model": reference, "format": "onnx"}
        first, second = (jobs.submit(session, kind="export", spec=spec).id for _ in range(2))
    end(first, days_ago=40, state="succeeded")
    assert use_of("exports", older_than_days=0)[2] == 1
    end(second, days_ago=20, state="succeeded")
    assert {item.name for item in disk.clean(["exports"])["exports"]} == {gone}
    end(second, days_ago=31, state="succeeded")
    assert {item.name for item in disk.clean(["exports"])["exports"]} == {f"exports/{model.id}"}


def test_only_orphans_of_datasets_and_models_are_deleted_and_none_that_is_young(tmp_path: Path) -> None:
    model_id = old_id("mdl", days=9)
    registered = put(tmp_path, f"models/{model_id}")
    claim = claim_job(submit_job())
    in_transaction(jobs.succeed, claim, model=replace(make_model(), id=model_id, key=registered))
    with transaction() as session:
        checking = put(tmp_path, f"datasets/{datasets.create(session, name='new', sources=[]).id}")
    young, old = (put(tmp_path, f"models/{old_id('mdl', days=days)}") for days in (0.9, 1.1))
    deleted = disk.clean(["datasets", "models"], older_than_days=0)
    assert [item.name for items in deleted.values() for item in items] == [old]
    assert all(blobs().exists(f"{key}/file") for key in (registered, checking, young))


def test_log_files_of_ended_jobs_expire(tmp_path: Path) -> None:
    folder = store_settings().home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    running, ended = submit_job(), submit_job()
    end(ended, days_ago=40)
    for name in (f"{running}.log", f"{ended}.log", "worker.log"):
        (folder / name).write_text("line\n")
        os.utime(folder / name, (time.time() - 31 * 86_400,) * 2)
    assert use_of("logs") == (2, 10, 1, 5)
    disk.clean(["logs"])
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{running}.log", "worker.log"])


def test_events_of_an_ended_job_expire_but_its_states_and_curves_stay() -> None:
    claim = claim_job(submit_job())
    events = [("log", {"message": "hello"})]
    in_transaction(jobs.report, claim, metrics={"train/loss": 1.0}, step=1, events=events)
    assert use_of("events", older_than_days=0)[2] == 0
    in_transaction(jobs.fail, claim, error={"code": "x", "message": "m"})
    count, size, expired, expired_bytes = use_of("events", older_than_days=0)
    assert (count, expired) == (1, 1)
    assert size == expired_bytes > 0
    disk.clean(["events"], older_than_days=0)
    with transaction() as session:
        rows = job_events.events(session, claim.job_id, limit=100)
        assert {row.kind for row in rows} == {"state"}
        assert rows[-1].data["state"] == "failed"
        assert job_events.metrics(session, claim.job_id) == {"train/loss": [(1, 1.0)]}


def test_encoded_rows_go_once_no_run_has_read_them_or_with_their_dataset(tmp_path: Path) -> None:
    upload_dataset(tmp_path, state="ready", days_ago=0)
    with transaction() as session:
        session.query(Dataset).one().summary = {"digest": "a" * 64}
    folder = store_settings().home / "cache" / "encoded"
    for name, days in (("a" * 32 + "-read", 0.5), ("a" * 32 + "-old", 2.0), ("b" * 32 + "-gone", 2.0)):
        (folder / name).mkdir(parents=True)
        (folder / name / "text.values").write_bytes(b"12345")
        (folder / f"{name}.lock").touch()
        os.utime(folder / name, (time.time() - 86_400 * days,) * 2)
    assert use_of("encoded") == (3, 15, 2, 10)
    assert use_of("encoded", older_than_days=7) == (3, 15, 1, 5), "those of no dataset are not kept longer"
    disk.clean(["encoded"])
    assert sorted(path.name for path in folder.iterdir()) == ["a" * 32 + "-read", "a" * 32 + "-read.lock"]


def test_every_kind_is_deleted_by_a_setting_of_its_own_or_by_its_owner() -> None:
    settings = [kind.setting for kind in disk.KINDS.values() if kind.setting]
    assert len(set(settings)) == len(settings) == 6
    assert all(disk.retention_days(kind) for kind in disk.KINDS.values() if kind.setting)
