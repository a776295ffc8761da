"""Watches, feedback and split traffic by the commands and the client, on a running service."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plinth import NotFound, Plinth
from tests.plinth.cli.commands.conftest import Run
from tests.support.stack import RunningStack

pytestmark = pytest.mark.process

TEXT = "my refund is late 1"


@pytest.fixture(scope="module")
def model(stack: RunningStack, tickets_csv: Path) -> str:
    """A small classifier of messages, with two versions."""
    with stack.client() as plinth:
        columns = {"text": "message", "label": "group"}
        dataset = plinth.datasets.upload(tickets_csv, name="watched", task="text_classification", columns=columns)
        plinth.datasets.wait(dataset.id)
        for _ in range(2):
            job = plinth.jobs.finetune(
                "watched",
                task="text_classification",
                architecture="text_cnn",
                schedule={"epochs": 3},
                model="watched",
            )
            plinth.jobs.wait(job.id, timeout_seconds=150)
        plinth.models.set_alias("watched", "production", 1)
    return "watched"


def until(read: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (value := read()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return value


def succeed(plinth_command: Run, *arguments: str) -> str:
    done = plinth_command(*arguments, columns=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_is_watched_labeled_and_made_a_dataset_of(plinth_command: Run, plinth: Plinth, model: str) -> None:
    shown = succeed(
        plinth_command, "models", "watch", model, "--keep", "rows", "--fraction", "1", "--drift", "confidence"
    )
    assert "watched: keep rows, 100% of the answers, then tell" in shown
    changed = json.loads(succeed(plinth_command, "models", "watch", model, "--min-feedback", "50", "--json"))
    assert (changed["keep"], changed["drift"], changed["min_feedback"]) == ("rows", ["confidence"], 50)
    prediction = plinth.predict(model, {"text": TEXT})
    assert prediction.request_id
    until(lambda: plinth.models.get_watch(model).state.records)
    assert prediction.request_id in succeed(plinth_command, "feedback", "candidates", model)
    sent = succeed(plinth_command, "feedback", "send", model, "billing", "--request-id", prediction.request_id)
    assert "Stored the label billing; version 1 answered" in sent
    again = succeed(plinth_command, "feedback", "send", model, "billing", "--input", TEXT)
    assert "The input had the label billing already." in again
    replaced = plinth.feedback.send(model, "bug", input={"text": TEXT})
    assert (replaced.label, replaced.previous_label, replaced.predicted) == (
        "bug",
        "billing",
        prediction.output["label"],
    )
    assert plinth.feedback.candidates(model).data == []
    created = json.loads(succeed(plinth_command, "feedback", "dataset", model, "--rehearsal-rows", "30", "--json"))
    assert (created["dataset"], created["origin"], created["feedback"]) == ("watched-feedback@1", "watched@1", 1)
    dataset = plinth.datasets.get(created["id"])
    old = plinth.datasets.get("watched@1")
    assert dataset.state == "ready"
    assert sum(dataset.splits.values()) == 30 + old.splits["validation"] + old.splits["test"] + 1
    succeed(plinth_command, "models", "unwatch", model)
    with pytest.raises(NotFound):
        plinth.models.get_watch(model)
    refused = plinth_command("feedback", "send", model, "bug", "--request-id", "nowhere", columns=400)
    assert refused.returncode == 1
    assert "Nothing of the requests of watched is recorded" in refused.stderr


def test_a_missing_source_of_feedback_is_refused(plinth_command: Run) -> None:
    done = plinth_command("feedback", "send", "watched", "bug")
    assert done.returncode == 2
    assert "name one of them" in done.stderr


def test_traffic_is_split_shown_and_joined_again(plinth_command: Run, plinth: Plinth, model: str) -> None:
    shown = succeed(plinth_command, "models", "split", f"{model}@2", "--weight", "1")
    assert "canary" in shown
    assert plinth.predict(model, {"text": TEXT}).version == 2
    until(lambda: plinth.models.get_split(model).candidate.requests == 1)
    traffic = json.loads(succeed(plinth_command, "models", "traffic", f"{model}@production", "--json"))
    assert (traffic["weight"], traffic["candidate"]["version"], traffic["current"]["version"]) == (1, 2, 1)
    shadow = plinth.models.set_split(f"{model}@2", "production", weight=0.5, mode="shadow")
    assert (shadow.mode, shadow.candidate.requests) == ("shadow", 0)
    succeed(plinth_command, "models", "unsplit", f"{model}@production")
    assert plinth.predict(model, {"text": TEXT}).version == 1
    with pytest.raises(NotFound):
        plinth.models.get_split(model)
    assert plinth_command("models", "traffic", model).returncode == 1
