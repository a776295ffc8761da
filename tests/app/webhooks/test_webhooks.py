"""Webhooks over HTTP: created, changed, tested, and their deliveries sent again."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from store.database import transaction
from store.webhooks import deliveries
from tests.app.jobs.test_jobs import ready_dataset
from tests.support.factories import register, shades

URL = "https://example.com/plinth"


@pytest.fixture
def webhook(client: TestClient) -> dict[str, Any]:
    response = client.post("/api/v1/webhooks", json={"url": URL})
    assert response.status_code == 201, response.text
    return response.json()


def test_the_secret_is_in_the_answer_to_the_creation_alone(client: TestClient, webhook: dict[str, Any]) -> None:
    path = f"/api/v1/webhooks/{webhook['id']}"
    assert webhook["secret"].startswith("whsec_")
    client.post(f"{path}/test")
    answers = [client.get("/api/v1/webhooks"), client.get(path), client.patch(path, json={"events": ["job.*"]})]
    answers += [client.get(f"{path}/deliveries"), client.get("/openapi.json")]
    assert all(answer.status_code == 200 for answer in answers)
    assert not any(webhook["secret"] in answer.text for answer in answers)


def test_a_repeated_creation_makes_one_webhook_and_stores_no_answer_with_the_secret(
    client: TestClient, home: Path
) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = (client.post("/api/v1/webhooks", json={"url": URL}, headers=headers).json() for _ in range(2))
    assert (first["id"], second["secret"]) == (second["id"], None)
    dump = "".join(sqlite3.connect(home / "plinth.db").iterdump())
    assert dump.count(first["secret"]) == 1, "in its own row alone"


def test_a_webhook_is_changed_field_by_field(client: TestClient, webhook: dict[str, Any]) -> None:
    path = f"/api/v1/webhooks/{webhook['id']}"
    changed = client.patch(path, json={"models": ["digits*"], "events": ["alias.*"]}).json()
    assert (changed["models"], changed["events"], changed["url"]) == (["digits*"], ["alias.*"], URL)
    assert client.patch(path, json={"models": None}).json()["models"] is None
    assert client.patch(path, json={"is_enabled": False}).json()["is_enabled"] is False
    assert client.post(f"{path}/test").status_code == 409
    assert client.patch(path, json={"is_enabled": True}).json()["is_enabled"] is True
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_changes_by_the_api_are_in_the_deliveries(client: TestClient, webhook: dict[str, Any], tmp_path: Path) -> None:
    ready_dataset("shades")
    register(shades(tmp_path / "package"), name="shades")
    client.put("/api/v1/models/shades/aliases/production", json={"version": 1})
    client.delete("/api/v1/models/shades/aliases/production")
    client.delete("/api/v1/models/shades")
    listed = client.get(f"/api/v1/webhooks/{webhook['id']}/deliveries?limit=200").json()["data"]
    types = [delivery["type"] for delivery in reversed(listed)]
    assert types[:3] == ["dataset.created", "job.queued", "job.running"]
    assert types[-4:] == ["model.version.created", "alias.set", "alias.removed", "model.version.deleted"]
    assert {"dataset.ready", "job.succeeded"} <= set(types)
    assert all(delivery["state"] == "pending" and delivery["attempts"] == 0 for delivery in listed)


def test_a_refused_request_sends_nothing(client: TestClient, webhook: dict[str, Any]) -> None:
    assert client.put("/api/v1/models/nowhere/aliases/production", json={"version": 1}).status_code == 404
    assert client.get(f"/api/v1/webhooks/{webhook['id']}/deliveries").json()["data"] == []


def test_a_test_event_is_queued_and_can_be_sent_again(client: TestClient, webhook: dict[str, Any]) -> None:
    path = f"/api/v1/webhooks/{webhook['id']}"
    response = client.post(f"{path}/test")
    assert response.status_code == 202
    delivery = response.json()
    assert (delivery["type"], delivery["payload"]["type"]) == ("webhook.test", "webhook.test")
    with transaction() as session:
        (attempt,) = deliveries.claim_due(session, limit=1)
        deliveries.succeed(session, attempt, status=200)
    one = f"{path}/deliveries/{delivery['id']}"
    read = client.get(one).json()
    assert (read["state"], read["last_status"], read["next_attempt_at"]) == ("delivered", 200, None)
    again = client.post(f"{one}/retry")
    assert (again.status_code, again.json()["state"], again.json()["id"]) == (202, "pending", delivery["id"])
    assert len(client.get(f"{path}/deliveries?state=pending").json()["data"]) == 1
    assert client.post(f"{path}/deliveries/msg_1/retry").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"url": "http://127.0.0.1:8000/"}, "PLINTH_WEBHOOK_ALLOWED_NETWORKS"),
        ({"url": "http://169.254.169.254/latest"}, "not a public address"),
        ({"url": "file:///etc/passwd"}, "must begin with https"),
        ({"url": URL, "events": ["job.done"]}, "known: job.queued"),
        ({"url": URL, "events": []}, "at least 1 item"),
        ({"url": URL, "models": ["a b"]}, "pattern"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_with_the_reason(
    client: TestClient, body: dict[str, Any], words: str
) -> None:
    response = client.post("/api/v1/webhooks", json=body)
    assert response.status_code == 422
    assert words in response.text
    assert client.get("/api/v1/webhooks").json()["data"] == []
