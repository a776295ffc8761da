"""Jobs survive faults: every part is killed, frozen or starved during a run.

The result is that of an undisturbed run. Processes, broker and digits are real; only the delays are shortened.
"""

from __future__ import annotations

import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from store import job_events, jobs, notifications
from store.database import transaction
from store.errors import Conflict
from store.tables import Lane
from tests.support.servers import Postgres, S3Server
from tests.support.worker.machine import Machine
from tests.support.worker.processes import is_alive
from tests.support.worker.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

#: A few seconds of training, with a checkpoint every few steps.
SPEC = {
    "kind": "finetune",
    "dataset": "digits",
    "task": "image_classification",
    "architecture": {"name": "cnn"},
    "schedule": {"epochs": 30, "batch_size": 32, "precision": "float32", "checkpoint_every_seconds": 0.3},
    "seed": 7,
    "model": "digits",
}

SHORT = {**SPEC, "schedule": {**SPEC["schedule"], "epochs": 1}}
ENDLESS = {**SPEC, "schedule": {**SPEC["schedule"], "epochs": 100_000}}


@dataclass(frozen=True)
class Undisturbed:
    """A run without faults, and the home folder that it left."""

    home: Path
    dataset_id: str
    attempts: int
    models: int
    weights: str
    messages: list[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    with Machine(tmp_path_factory.mktemp("undisturbed")) as machine:
        machine.start_worker()
        dataset_id = machine.import_digits()
        job_id = machine.submit(SPEC, dataset_id=dataset_id)
        for _ in range(4):
            notifications.notify(job_id, Lane.COMPUTING)
        job = machine.wait_for(job_id, "succeeded", "failed")
        assert job.state == "succeeded", job.error
        models, weights = len(machine.models_of(job_id)), machine.weights_of(job_id)
        messages = [data["message"] for data in machine.event_data(job_id, "log")]
    return Undisturbed(machine.home, dataset_id, job.fence, models, weights, messages)


@pytest.fixture
def new_machine(tmp_path: Path, undisturbed: Undisturbed) -> Iterator[Callable[..., Machine]]:
    """Return a function that creates a machine with the dataset, without a worker."""
    with ExitStack() as stack:

        def new(**variables: str) -> Machine:
            shutil.copytree(undisturbed.home, tmp_path / "home")
            return stack.enter_context(Machine(tmp_path, **variables))

        yield new


def test_five_messages_make_one_run_and_one_model(undisturbed):
    assert (undisturbed.attempts, undisturbed.models) == (1, 1)


def test_a_job_tells_its_threads_and_the_reason(undisturbed):
    assert "computing with 1 thread: OMP_NUM_THREADS" in undisturbed.messages


def test_a_forked_run_ends_with_the_weights_of_a_new_process(new_machine, undisturbed):
    machine = new_machine()
    machine.start_worker(PLINTH_WARM_WORKER="0")
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    assert machine.wait_for(job_id, "succeeded", "failed").state == "succeeded"
    assert machine.weights_of(job_id) == undisturbed.weights
    assert "fork server" in (undisturbed.home.parent / "worker-0.log").read_text()
    assert "fork server" not in (machine.folder / "worker-0.log").read_text()


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(new_machine, undisturbed):
    machine = new_machine()
    machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    step = 0
    for _ in range(3):
        step = machine.wait_for_checkpoint(job_id, after=step)
        machine.run_of(job_id).kill()
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.fence) == ("succeeded", 4)
    assert machine.weights_of(job_id) == undisturbed.weights


def test_a_run_ends_with_its_worker_and_resumes_with_the_next(new_machine, undisturbed):
    machine = new_machine()
    worker = machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    run = machine.run_of(job_id)
    worker.kill()
    until(lambda: not is_alive(run.pid), seconds=5)
    machine.start_worker()
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.fence) == ("succeeded", 2)
    assert machine.weights_of(job_id) == undisturbed.weights


def test_a_run_needs_neither_the_broker_nor_the_api(new_machine, undisturbed):
    machine = new_machine()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    api = machine.start_api(port)
    machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    run = machine.run_of(job_id)
    api.kill()
    machine.broker.kill()
    assert is_alive(run.pid), "the run ended before anything was killed, so this proves nothing"
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.fence) == ("succeeded", 1)
    assert machine.weights_of(job_id) == undisturbed.weights
    machine.start_api(port)


def test_a_job_resumes_after_everything_was_killed_at_once(new_machine, undisturbed):
    machine = new_machine()
    machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    machine.kill_everything()
    machine.broker.start()
    machine.start_worker()
    assert machine.wait_for(job_id, "succeeded", "failed").state == "succeeded"
    assert machine.weights_of(job_id) == undisturbed.weights


def test_sigterm_of_a_worker_loses_no_step(new_machine, undisturbed):
    machine = new_machine()
    first = machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    machine.start_worker()
    first.terminate()
    assert first.wait(20) == 0
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.fence, job.crashes) == ("succeeded", 2, 0)
    assert machine.weights_of(job_id) == undisturbed.weights
    left_at, went_on_from = steps_at_the_handover(machine, job_id)
    assert went_on_from == left_at


def steps_at_the_handover(machine: Machine, job_id: str) -> tuple[int, int]:
    """Return the last step reported before the job was requeued, and the first after."""
    with transaction() as session:
        events = job_events.events(session, job_id, limit=10_000)
    states = [event.number for event in events if event.kind == "state" and event.data["state"] == "queued"]
    before = [event.data["step"] for event in events if event.kind == "progress" and event.number < states[-1]]
    resumed = [event for event in events if event.kind == "log" and "resuming from step" in event.data["message"]]
    return max(before), int(resumed[0].data["message"].rpartition(" ")[2])


def suspend_between_transactions(machine: Machine, *processes: psutil.Process) -> None:
    """Suspend processes while none of them holds the one write lock of SQLite."""

    def suspend() -> bool:
        for process in processes:
            process.suspend()
        with closing(sqlite3.connect(machine.home / "plinth.db", timeout=0.2)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                for process in processes:
                    process.resume()
                return False
        return True

    until(suspend)


def test_a_frozen_run_that_continues_after_its_lease_writes_nothing(new_machine, undisturbed):
    machine = new_machine()
    sleeper = machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    old_run = machine.run_of(job_id)
    suspend_between_transactions(machine, psutil.Process(sleeper.pid), old_run)
    machine.start_worker()
    until(lambda: machine.job(job_id).fence == 2)
    for process in (psutil.Process(sleeper.pid), old_run):
        process.resume()
    until(lambda: not is_alive(old_run.pid))
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.fence, len(machine.models_of(job_id))) == ("succeeded", 2, 1)
    assert machine.weights_of(job_id) == undisturbed.weights


@pytest.mark.parametrize("fault", ["dead", "frozen"])
def test_a_submission_without_a_broker_is_quick_and_runs_later(new_machine, undisturbed, fault):
    machine = new_machine()
    worker = machine.start_worker()
    running = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(running)
    if fault == "dead":
        machine.broker.kill()
        shutil.rmtree(machine.folder / "broker" / "appendonlydir")
    else:
        machine.broker.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    waiting = machine.submit(SHORT, dataset_id=undisturbed.dataset_id)
    assert time.monotonic() - began < 2.5
    assert machine.wait_for(running, "succeeded", "failed").fence == 1
    assert machine.weights_of(running) == undisturbed.weights
    if fault == "dead":
        machine.broker.start()
    else:
        machine.broker.process.send_signal(signal.SIGCONT)
    assert machine.wait_for(waiting, "succeeded", "failed").state == "succeeded"
    machine.broker.kill()
    worker.terminate()
    assert worker.wait(20) == 0


def test_a_job_that_kills_its_process_fails_and_other_jobs_run(new_machine, undisturbed):
    machine = new_machine()
    machine.start_worker(PLINTH_JOB_SLOTS="2")
    poison = machine.submit(ENDLESS, dataset_id=undisturbed.dataset_id)
    other = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    for crashes in range(3):
        until(lambda crashes=crashes: machine.job(poison).crashes == crashes)
        machine.run_of(poison).kill()
    job = machine.wait_for(poison, "failed", "succeeded")
    assert (job.state, job.crashes, job.error["code"]) == ("failed", 3, "killed")
    assert machine.wait_for(other, "failed", "succeeded").state == "succeeded"
    assert machine.weights_of(other) == undisturbed.weights


def test_cancel_and_stop_of_a_job_that_has_not_started(new_machine, undisturbed):
    machine = new_machine()
    job_ids = [machine.submit(SPEC, dataset_id=undisturbed.dataset_id) for _ in range(2)]
    for act, job_id in zip((jobs.cancel, jobs.stop), job_ids, strict=True):
        with transaction() as session:
            assert act(session, job_id).state == "cancelled"
        for refused in (jobs.cancel, jobs.stop, jobs.pause, jobs.resume):
            with transaction() as session, pytest.raises(Conflict):
                refused(session, job_id)


def test_a_cancellation_is_prompt_and_leaves_nothing(new_machine, undisturbed):
    machine = new_machine()
    machine.start_worker()
    job_id = machine.submit(ENDLESS, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    run = machine.run_of(job_id)
    began = time.monotonic()
    with transaction() as session:
        jobs.cancel(session, job_id)
    job = machine.wait_for(job_id, "cancelled")
    assert time.monotonic() - began < 3
    assert not is_alive(run.pid)
    assert machine.models_of(job_id) == []
    assert job.crashes == 0


def test_a_job_can_be_paused_resumed_and_stopped(new_machine, undisturbed):
    machine = new_machine()
    job_id = machine.submit(ENDLESS, dataset_id=undisturbed.dataset_id)
    with transaction() as session:
        jobs.pause(session, job_id)
    machine.start_worker()
    notifications.notify(job_id, Lane.COMPUTING)
    until(lambda: notifications.queue_length() == 0)
    assert (machine.job(job_id).state, machine.job(job_id).fence) == ("queued", 0)

    with transaction() as session:
        jobs.resume(session, job_id)
    machine.wait_for_checkpoint(job_id)
    with transaction() as session:
        jobs.pause(session, job_id)
    paused = machine.wait_for(job_id, "queued")
    assert (paused.reason, paused.crashes) == ("paused", 0)
    step = machine.checkpoint_step(job_id)

    with transaction() as session:
        jobs.stop(session, job_id)
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.reason) == ("succeeded", "stopped")
    [model] = machine.models_of(job_id)
    assert "test/accuracy" in model.metrics
    assert machine.job(job_id).progress["step"] >= step


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=False).returncode:
        pytest.skip("a small file system can only be mounted as root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_stops_a_job_until_there_is_space(new_machine, undisturbed, small_disk):
    shutil.copytree(undisturbed.home / "blobs", small_disk / "blobs")
    machine = new_machine(PLINTH_BLOB_URL=f"file://{small_disk}/blobs")
    machine.start_worker()
    job_id = machine.submit(SPEC, dataset_id=undisturbed.dataset_id)
    machine.wait_for_checkpoint(job_id)
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    waiting = until(lambda: job if (job := machine.job(job_id)).error else None)
    assert (waiting.error["code"], waiting.crashes) == ("storage_full", 0)
    ballast.unlink()
    job = machine.wait_for(job_id, "succeeded", "failed")
    assert (job.state, job.crashes) == ("succeeded", 0)
    assert machine.weights_of(job_id) == undisturbed.weights


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = Postgres(durable=True).start()
    yield server
    server.stop()


def test_the_database_can_be_killed(tmp_path, undisturbed, postgres):
    with Machine(tmp_path, PLINTH_DATABASE_URL=postgres.url()) as machine:
        worker = machine.start_worker()
        dataset_id = machine.import_digits()
        job_id = machine.submit(SPEC, dataset_id=dataset_id)
        step = machine.wait_for_checkpoint(job_id)
        postgres.kill()
        postgres.start()
        step = machine.wait_for_checkpoint(job_id, after=step)
        assert machine.job(job_id).fence == 1
        worker.kill()
        machine.start_worker()
        assert machine.wait_for(job_id, "succeeded", "failed").fence == 2
        assert machine.weights_of(job_id) == undisturbed.weights


def test_a_killed_run_resumes_from_a_checkpoint_in_an_object_store(tmp_path, undisturbed):
    server = S3Server().start()
    try:
        place = {"PLINTH_BLOB_URL": f"s3://{server.bucket()}/plinth", "PLINTH_S3_ENDPOINT_URL": server.url}
        with Machine(tmp_path, **place, **server.ACCESS) as machine:
            machine.start_worker()
            job_id = machine.submit(SPEC, dataset_id=machine.import_digits())
            machine.wait_for_checkpoint(job_id)
            machine.run_of(job_id).kill()
            assert machine.wait_for(job_id, "succeeded", "failed").fence == 2
            assert machine.weights_of(job_id) == undisturbed.weights
    finally:
        server.stop()
