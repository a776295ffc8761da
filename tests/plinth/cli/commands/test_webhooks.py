"""Webhooks of a whole service, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier

from tests.support.command import run_command
from tests.support.stack import RunningStack
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.worker.waiting import until

pytestmark = pytest.mark.process


def test_events_of_a_dataset_arrive_and_deliveries_are_sent_again(
    start_stack: Callable[..., RunningStack], tmp_path: Path
) -> None:
    stack = start_stack(PLINTH_WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")

    def run(*arguments: str):
        return run_command(*arguments, environment=stack.environment(), columns=300)

    with WebhookReceiver() as receiver:
        secret = run("webhooks", "create", receiver.url, "--event", "dataset.*").stdout.splitlines()[0]
        (webhook,) = json.loads(run("webhooks", "--json").stdout)["data"]
        tested = run("webhooks", "test", webhook["id"][:20])
        assert "was received with status 204" in tested.stdout, tested.stderr
        data = tmp_path / "reviews.csv"
        data.write_text("text,label\n" + "".join(f"film {n},{'good' if n % 2 else 'bad'}\n" for n in range(40)))
        with stack.client() as plinth:
            plinth.datasets.wait(plinth.datasets.upload(data, name="reviews", task="text_classification").id)
        until(lambda: len(receiver.requests) >= 3)
        events = [Verifier(secret).verify(request.body, request.headers) for request in receiver.requests]
        assert {event["type"] for event in events} == {"webhook.test", "dataset.created", "dataset.ready"}
        ready = next(event for event in events if event["type"] == "dataset.ready")
        assert (ready["data"]["name"], ready["data"]["version"]) == ("reviews", 1)

        listed = json.loads(run("webhooks", "deliveries", webhook["id"], "--json").stdout)["data"]
        assert [delivery["state"] for delivery in listed] == ["delivered"] * 3
        assert "dataset.ready" in run("webhooks", "deliveries", webhook["id"]).stdout
        assert "is sent again" in run("webhooks", "retry", webhook["id"], listed[0]["id"]).stdout
        until(lambda: len(receiver.requests) >= 4)
        assert receiver.requests[-1].headers["webhook-id"] == listed[0]["id"]

    failed = run("webhooks", "test", webhook["id"])
    assert failed.returncode == 1
    assert "Connection refused" in failed.stdout
    assert "failing" in run("webhooks").stdout
    assert run("webhooks", "delete", webhook["id"], "--yes").stdout == f"Deleted {webhook['id']}.\n"
    for log in (stack.home / "logs").glob("*.log"):
        assert secret not in log.read_text()
