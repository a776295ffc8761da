"""`plinth jobs`, `train` and `watch`: lists, repeats, logs, curves, deletion, and output in pipes."""

import json
import re
import subprocess
from typing import get_args

import pytest

from app.jobs.schemas import JobKind
from plinth import Plinth
from plinth.cli.commands.jobs import Kind, draw_curve
from tests.plinth.cli.commands.conftest import Run

pytestmark = pytest.mark.process

Trained = subprocess.CompletedProcess[str]


def job_id_of(result: subprocess.CompletedProcess[str]) -> str:
    match = re.search(r"job_[0-9a-f]{32}", result.stdout)
    assert match, result.stdout + result.stderr
    return match[0]


def test_training_prints_a_line_an_epoch_in_a_pipe(trained: Trained) -> None:
    epochs = [line for line in trained.stdout.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == [f"{epoch}/6" for epoch in range(1, 7)]
    assert all(re.search(r"validation/accuracy [\d.e-]+ .*train/loss [\d.e-]+", line) for line in epochs)
    assert "Confusion matrix" in trained.stdout
    assert '"a text"' in trained.stdout.splitlines()[-2]
    assert trained.stdout.splitlines()[-1].endswith("plinth models alias tickets@1 production")


def test_ids_are_whole_in_a_pipe_and_a_beginning_is_enough(plinth_command: Run, trained: Trained) -> None:
    job_id = job_id_of(trained)
    listed = plinth_command("jobs", "--model", "tickets@1")
    assert job_id in listed.stdout
    assert "succeeded" in listed.stdout.splitlines()[-2]
    for beginning in (job_id[:-4], job_id[:-4].removeprefix("job_"), job_id):
        assert json.loads(plinth_command("jobs", "show", beginning).stdout)["id"] == job_id
    assert "No id begins with job_f" in plinth_command("jobs", "show", "job_f").stderr


def test_two_jobs_of_one_beginning_are_both_named(plinth_command: Run, trained: Trained) -> None:
    job_id = job_id_of(trained)
    clone = job_id_of(plinth_command("jobs", "clone", job_id, "--epochs", "5000", "--detach"))
    shared = "".join(first for first, second in zip(job_id, clone, strict=True) if first == second)
    prefix = next(job_id[:length] for length in range(len(shared), 0, -1) if clone.startswith(job_id[:length]))
    ambiguous = plinth_command("jobs", "show", prefix).stderr
    assert job_id in ambiguous
    assert clone in ambiguous
    assert plinth_command("jobs", "cancel", clone).returncode == 0


def test_logs_and_curves_are_printed(plinth_command: Run, trained: Trained) -> None:
    job_id = job_id_of(trained)
    assert "epoch 6 of 6" in plinth_command("jobs", "logs", job_id).stdout
    assert "epoch 6 of 6" in plinth_command("jobs", "logs", job_id, "--follow").stdout
    (line,) = plinth_command("jobs", "metrics", job_id, "--name", "validation/loss").stdout.splitlines()[1:]
    assert line.startswith("validation/loss")
    assert set(json.loads(plinth_command("jobs", "metrics", job_id, "--json").stdout)) > {"train/loss"}
    assert json.loads(plinth_command("jobs", "logs", job_id, "--json").stdout)["data"][0]["message"] == "starting"


def test_every_list_prints_the_answer_of_the_api(plinth_command: Run, plinth: Plinth, trained: Trained) -> None:
    job_id = job_id_of(trained)
    raw = plinth._transport.get(f"/api/v1/jobs/{job_id}")
    assert json.loads(plinth_command("jobs", "--model", "tickets@1", "--json").stdout) == {
        "object": "list",
        "data": [raw],
    }
    assert json.loads(plinth_command("watch", job_id, "--json").stdout) == raw
    for command in (["datasets"], ["models"], ["keys"], ["models", "versions", "tickets"], ["jobs"]):
        document = json.loads(plinth_command(*command, "--json").stdout)
        assert document["object"] == "list"
        assert {"object", "created_at"} <= set(document["data"][0]), command
    assert json.loads(plinth_command("models", "show", "tickets", "--json").stdout)["object"]
    assert json.loads(plinth_command("catalog", "rnn", "--json").stdout)["name"] == "rnn"
    assert {"name", "is_ok"} <= set(json.loads(plinth_command("doctor", "--json").stdout)["data"][0])


def test_jobs_are_cancelled_together_retried_cloned_and_deleted(plinth_command: Run, trained: Trained) -> None:
    endless = ["--set", "schedule.epochs=5000", "--detach"]
    jobs = [job_id_of(plinth_command("jobs", "clone", job_id_of(trained), *endless, "--model", "x")) for _ in range(2)]
    listed = plinth_command("jobs", "--model", "x").stdout
    assert all(job in listed for job in jobs)
    refused = plinth_command("jobs", "delete", jobs[0], "--yes")
    assert "cancel it first" in refused.stderr
    assert plinth_command("jobs", "cancel", *jobs).returncode == 0
    ended = [plinth_command("watch", job) for job in jobs]
    assert [watched.returncode for watched in ended] == [1, 1]
    assert f"plinth jobs retry {jobs[0]}" in ended[0].stdout

    retried = json.loads(plinth_command("jobs", "retry", jobs[0], "--detach", "--json").stdout)
    assert retried["origin"] == jobs[0]
    refused = plinth_command("jobs", "cancel", "--all")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert plinth_command("jobs", "cancel", "--all", "--yes").returncode == 0
    plinth_command("watch", retried["id"])
    assert "No job is queued or running" in plinth_command("jobs", "cancel", "--all").stdout

    refused = plinth_command("jobs", "delete", jobs[0], retried["id"])
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    deleted = plinth_command("jobs", "delete", jobs[0], retried["id"], "--yes")
    assert deleted.stdout.count("Deleted") == 2, deleted.stderr
    assert jobs[0] not in plinth_command("jobs", "--limit", "50").stdout


def test_a_job_that_succeeded_is_not_retried(plinth_command: Run, trained: Trained) -> None:
    assert "clone it" in plinth_command("jobs", "retry", job_id_of(trained)).stderr


@pytest.mark.usefixtures("trained")
def test_a_dry_run_prints_every_default_and_starts_nothing(plinth_command: Run) -> None:
    before = plinth_command("jobs", "--json").stdout
    printed = plinth_command("train", "tickets", "--architecture", "rnn", "--dry-run").stdout
    assert "dataset = tickets@1" in printed
    assert "schedule.batch_size = " in printed
    assert json.loads(plinth_command("train", "tickets", "--dry-run", "--json").stdout)["model"] == "tickets"
    assert plinth_command("jobs", "--json").stdout == before


@pytest.mark.usefixtures("trained")
def test_each_hint_stands_beside_its_finding(plinth_command: Run) -> None:
    failed = plinth_command(
        "train", "tickets", "--architecture", "rn", "--tuning", "loraa", "--set", "schedule.epoch=3"
    )
    lines = failed.stderr.splitlines()
    for path, hint in {"schedule.epoch": "epochs", "tuning": "lora", "architecture": "rnn"}.items():
        (line,) = (line for line in lines if line.strip().startswith(f"{path}:"))
        assert line.endswith(f"Did you mean '{hint}'?"), lines
    unknown = plinth_command("train", "ticket", "--task", "text_classification", "--model", "m").stderr
    assert "tickets" in unknown
    assert "GET /api" not in unknown + plinth_command("datasets", "show", "ticket").stderr


@pytest.mark.usefixtures("trained")
def test_the_next_steps_fit_a_model_that_has_learned_nothing(plinth_command: Run) -> None:
    weak = plinth_command(
        *("train", "tickets", "--model", "weak", "--architecture", "rnn", "--epochs", "1"),
        *("--learning-rate", "1e-9", "--set", "schedule.min_steps=1"),
    )
    assert weak.returncode == 0, weak.stderr
    assert "nothing shows that the model has learned" in weak.stdout
    assert "alias" not in weak.stdout.splitlines()[-1] + weak.stdout.splitlines()[-2]
    assert "--set schedule.epochs=" in weak.stdout.splitlines()[-1]


@pytest.mark.parametrize("state", ["done", "state.0"])
def test_an_unknown_state_is_rejected_with_the_known_ones(plinth_command: Run, state: str) -> None:
    failed = plinth_command("jobs", "--state", state)
    assert failed.returncode == 2
    assert "paused" in failed.stderr
    assert "Input should be" not in failed.stderr


def test_a_curve_is_drawn_from_its_minimum_to_its_maximum() -> None:
    assert draw_curve([0.0, 1.0]) == "▁█"
    assert draw_curve([3.0]) == "▁"
    assert len(draw_curve([float(value) for value in range(1000)])) == 40


def test_jobs_of_every_kind_can_be_listed() -> None:
    assert set(get_args(Kind)) == set(get_args(JobKind.__value__))
