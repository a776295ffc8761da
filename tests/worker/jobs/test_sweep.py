"""Sweeps with real processes: trials, halving, and kills of every part in mid-sweep."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store import job_events, jobs
from store.blobs import blobs
from store.database import transaction
from store.tables import Job
from tests.support.worker.machine import Machine
from tests.support.worker.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(1800)]

#: A limit, not an expectation: on an idle machine everything here takes a minute.
SECONDS = 900

#: Long enough that a trial is seen while it runs.
JOB = {
    "kind": "finetune",
    "dataset": "digits@1",
    "task": "image_classification",
    "architecture": {"name": "cnn", "config": {"stages": [[4], [8]]}},
    "schedule": {"epochs": 60, "batch_size": 128, "precision": "float32", "checkpoint_every_seconds": 0.1},
    "model": "digits",
}
SWEEP = {
    "kind": "sweep",
    "job": JOB,
    # Half of the proposals learn nothing at all, so that halving has something to end.
    "space": {"schedule.learning_rate": {"low": 1e-7, "high": 0.1, "log": True}, "tuning": ["full"]},
    # Its proposals do not depend on when a trial ends, so that a disturbed sweep can be compared.
    "strategy": "random",
    "metric": "validation/accuracy",
    "budget": {"trials": 3},
    "halving": {"factor": 3, "rungs": 1},
    "seed": 7,
}


@dataclass(frozen=True)
class Undisturbed:
    """A sweep without faults, and the home folder with its dataset before it."""

    home: Path
    dataset_id: str
    sweep: Job
    trials: list[Job]
    weights: str


def trials_of(sweep_id: str) -> list[Job]:
    with transaction() as session:
        return list(jobs.trials(session, sweep_id))


def curves_of(job_id: str) -> Sequence[str]:
    with transaction() as session:
        return job_events.curve_names(session, job_id)


def outcomes(trials: list[Job]) -> list[tuple[str, str | None, Any]]:
    return [(trial.state, trial.reason, trial.parameters) for trial in trials]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    before, folder = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("undisturbed")
    with Machine(before) as machine:
        machine.start_worker()
        dataset_id = machine.import_digits()
    # Only of a closed database: closing a file drops the locks that this process holds on it.
    shutil.copytree(machine.home, folder / "home")
    with Machine(folder) as machine:
        machine.start_worker()
        sweep_id = machine.submit(SWEEP, dataset_id=dataset_id)
        sweep = machine.wait_for(sweep_id, "succeeded", "failed", seconds=SECONDS)
        assert sweep.state == "succeeded", sweep.error
        # The process deletes the checkpoints of the best trial after it has recorded its end. Its own stays a while.
        ids = [trial.id for trial in trials_of(sweep_id)]
        until(lambda: not any(list(blobs().keys(f"runs/{trial_id}")) for trial_id in ids), seconds=SECONDS)
        weights = machine.weights_of(sweep_id)
        return Undisturbed(before / "home", dataset_id, sweep, trials_of(sweep_id), weights)


@pytest.fixture
def new_machine(tmp_path: Path, undisturbed: Undisturbed) -> Iterator[Callable[..., Machine]]:
    with ExitStack() as stack:

        def new(**variables: str) -> Machine:
            shutil.copytree(undisturbed.home, tmp_path / "home")
            return stack.enter_context(Machine(tmp_path, **variables))

        yield new


def test_the_best_trial_is_registered_and_reported_with_all_others(undisturbed: Undisturbed) -> None:
    sweep, trials = undisturbed.sweep, undisturbed.trials
    assert [trial.trial for trial in trials] == [0, 1, 2]
    assert trials[0].parameters == {}
    assert trials[0].reason == "completed"
    assert all(trial.model_name is None and trial.parent_id == sweep.id for trial in trials)
    assert len({str(trial.parameters) for trial in trials}) == 3
    report = sweep.report
    assert report is not None
    section = report["sweep"]
    # Judged on the test split, once: trials know the validation split alone.
    assert report["split"] == "test"
    assert {(trial.report or {"split": "validation"})["split"] for trial in trials} == {"validation"}
    assert section["best"] == max(section["trials"], key=lambda line: line["value"])["number"]
    assert section["value"] >= section["default_value"]
    assert section["trials"][0]["parameters"]["tuning"] == "full"
    assert section["cpu_seconds"] > 0


def test_weak_trials_are_ended_at_a_whole_epoch(undisturbed: Undisturbed) -> None:
    pruned = [trial for trial in undisturbed.trials if trial.reason == "pruned"]
    assert pruned, outcomes(undisturbed.trials)
    for trial in pruned:
        assert trial.state == "succeeded"
        assert trial.progress is not None
        # A third of sixty epochs.
        assert trial.progress["epoch"] == 20
        assert trial.progress["step"] * 3 == trial.progress["steps"]


def test_kills_of_worker_trial_and_sweep_lose_nothing(
    new_machine: Callable[..., Machine], undisturbed: Undisturbed
) -> None:
    machine = new_machine(PLINTH_MAX_CRASHES="10")
    worker = machine.start_worker()
    sweep_id = machine.submit(SWEEP, dataset_id=undisturbed.dataset_id)
    first = until(lambda: next(iter(trials_of(sweep_id)), None), seconds=SECONDS)
    machine.wait_for_checkpoint(first.id)
    machine.run_of(first.id).kill()
    second = until(lambda: next((trial for trial in trials_of(sweep_id) if trial.trial == 1), None), seconds=SECONDS)
    machine.run_of(second.id)
    worker.kill()
    worker.wait()
    machine.start_worker()
    machine.wait_for(first.id, "succeeded", seconds=SECONDS)
    # The last look evaluates the best trial.
    machine.wait_for(trials_of(sweep_id)[-1].id, "succeeded", "running", "queued", seconds=SECONDS)
    until(
        lambda: all(t.state == "succeeded" for t in trials_of(sweep_id)) and len(trials_of(sweep_id)) == 3,
        seconds=SECONDS,
    )
    machine.run_of(sweep_id).kill()
    sweep = machine.wait_for(sweep_id, "succeeded", "failed", seconds=SECONDS)
    assert sweep.state == "succeeded", sweep.error
    assert outcomes(trials_of(sweep_id)) == outcomes(undisturbed.trials)
    assert machine.weights_of(sweep_id) == undisturbed.weights
    assert len(machine.models_of(sweep_id)) == 1


def test_two_slots_run_two_trials_and_a_stop_keeps_the_best(
    new_machine: Callable[..., Machine], undisturbed: Undisturbed
) -> None:
    machine = new_machine(PLINTH_JOB_SLOTS="2")
    machine.start_worker()
    spec = {**SWEEP, "budget": {"trials": 100}, "halving": False}
    spec["job"] = {**JOB, "schedule": {**JOB["schedule"], "epochs": 400}}
    sweep_id = machine.submit(spec, dataset_id=undisturbed.dataset_id)
    until(lambda: sum(trial.state == "running" for trial in trials_of(sweep_id)) == 2, seconds=SECONDS)
    # A trial without a validation has nothing to keep.
    until(lambda: all(SWEEP["metric"] in curves_of(trial.id) for trial in trials_of(sweep_id)), seconds=SECONDS)
    with transaction() as session:
        jobs.stop(session, sweep_id)
    sweep = machine.wait_for(sweep_id, "succeeded", "failed", "cancelled", seconds=SECONDS)
    assert (sweep.state, sweep.reason) == ("succeeded", "stopped"), sweep.error
    assert {trial.reason for trial in trials_of(sweep_id)} == {"stopped"}


def test_a_sweep_without_a_result_groups_the_reasons(
    new_machine: Callable[..., Machine], undisturbed: Undisturbed
) -> None:
    machine = new_machine()
    machine.start_worker()
    broken = {"schedule.learning_rate": {"low": 50.0, "high": 90.0}}
    job = {**JOB, "start_from": None, "objective": {"name": "supervised", "config": {"nonsense": 1}}}
    spec = {**SWEEP, "job": job, "space": broken, "budget": {"trials": 2}}
    sweep_id = machine.submit(spec, dataset_id=undisturbed.dataset_id)
    sweep = machine.wait_for(sweep_id, "failed", "succeeded", seconds=SECONDS)
    assert sweep.error is not None
    assert sweep.error["code"] == "every_trial_failed"
    assert "none of 2 trials has a result. 2 by invalid_spec" in sweep.error["message"]
    assert sweep.error["message"].endswith("(trial 0, 1)")
    with transaction() as session:
        events = job_events.events(session, sweep_id, limit=100)
    messages = [event.data["message"] for event in events if event.kind == "log"]
    assert messages[0] == "trial 0: the job as it is"
    assert messages[1].startswith("trial 1: schedule.learning_rate = ")
