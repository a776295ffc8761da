"""Feedback: labels of requests and inputs, candidates for labels, and datasets of feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from store.database import transaction
from store.tables import Model
from tests.app.jobs.test_jobs import ready_dataset
from tests.app.models.test_watch import WATCH, ask, stored_records, watch_once
from tests.support.factories import SIDE, painter, register

FEEDBACK = "/api/v1/models/shades/feedback"


def pixels(*values: int) -> dict[str, Any]:
    return {"pixels": np.resize(np.array(values), (SIDE, SIDE)).tolist()}


def record(client: TestClient, brightnesses: Sequence[int]) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    for brightness in brightnesses:
        ask(client, brightness, request_id=f"r{brightness}")
    watch_once(client, lambda state: state["records"] == len(brightnesses))


@pytest.mark.usefixtures("model")
def test_the_label_of_a_recorded_request_is_stored_with_its_answer(client: TestClient) -> None:
    record(client, [255])
    answer = client.post(FEEDBACK, json={"request_id": "r255", "label": "dark"})
    assert answer.status_code == 200, answer.text
    row = answer.json()
    assert (row["label"], row["predicted"], row["version"], row["request_id"]) == ("dark", "light", 1, "r255")
    assert (row["previous_label"], row["is_repeated"]) == (None, False)
    assert client.get(WATCH).json()["state"]["feedback"] == 1


@pytest.mark.usefixtures("model")
def test_the_same_twice_changes_nothing_and_another_label_replaces_the_first(client: TestClient) -> None:
    body = {"input": pixels(7), "label": "dark"}
    first = client.post(FEEDBACK, json=body).json()
    again = client.post(FEEDBACK, json=body).json()
    assert (again["id"], again["is_repeated"], again["previous_label"]) == (first["id"], True, "dark")
    other = client.post(FEEDBACK, json={**body, "label": "light"}).json()
    assert (other["id"], other["label"], other["previous_label"]) == (first["id"], "light", "dark")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("watch", "words"),
    [
        (None, "Nothing of the requests of shades is recorded"),
        ({"keep": "off"}, "Nothing of the requests of shades is recorded"),
        ({"keep": "sketches"}, "keeps sketches, without inputs"),
        ({"keep": "rows", "max_days": 7}, "keeps 10,000 rows for 7 days"),
    ],
)
def test_an_unknown_request_is_not_found_with_the_reason(client: TestClient, watch: Any, words: str) -> None:
    if watch is not None:
        client.put(WATCH, json=watch)
    answer = client.post(FEEDBACK, json={"request_id": "nowhere", "label": "dark"})
    assert answer.status_code == 404
    assert words in answer.json()["detail"]
    assert "send the `input` itself" in answer.json()["detail"]


@pytest.mark.usefixtures("model")
def test_an_unknown_label_is_refused_unless_it_is_called_new(client: TestClient) -> None:
    answer = client.post(FEEDBACK, json={"input": pixels(7), "label": "drak"})
    assert answer.status_code == 422
    assert "known: dark, light" in answer.text
    assert "Did you mean 'dark'?" in answer.text
    assert client.post(FEEDBACK, json={"input": pixels(7), "label": "gray", "new_label": True}).status_code == 200


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"label": "dark"}, "send one of them"),
        ({"request_id": "a", "input": {}, "label": "dark"}, "send one of them"),
        ({"input": {"text": "a"}, "label": "dark"}, "unknown field"),
        ({"input": {"image": "aaaa"}, "label": "dark"}, "input.image"),
        ({"input": {}, "label": "dark"}, "input"),
        ({"input": {"pixels": [[0]]}, "label": " \x1c", "new_label": True}, "must contain more than whitespace"),
    ],
)
def test_feedback_that_cannot_be_read_is_refused(client: TestClient, body: dict[str, Any], words: str) -> None:
    answer = client.post(FEEDBACK, json=body)
    assert answer.status_code == 422
    assert words in answer.text


def test_other_tasks_are_refused_with_what_they_lack(client: TestClient, tmp_path: Any) -> None:
    register(painter(tmp_path / "painter"), name="painter")
    answer = client.post("/api/v1/models/painter/feedback", json={"input": {"seed": 1}, "label": "a"})
    assert answer.status_code == 422
    assert "whose answers have no label" in answer.text
    assert client.get("/api/v1/models/painter/feedback/candidates").status_code == 422
    assert client.post("/api/v1/models/painter/feedback/dataset", json={}).status_code == 422


@pytest.mark.usefixtures("model")
def test_candidates_are_uncertain_unlike_each_other_and_without_feedback(client: TestClient) -> None:
    record(client, [0, 255, 127, 128, 129, 1, 254])
    client.post(FEEDBACK, json={"request_id": "r128", "label": "light"})
    answer = client.get(f"{FEEDBACK}/candidates?limit=3").json()
    names = [row["request_id"] for row in answer["data"]]
    assert names[0] in ("r127", "r129")
    assert len(set(names)) == 3
    assert "r128" not in names
    assert answer["labels"] == ["dark", "light"]
    sent = client.post(FEEDBACK, json={"input": answer["data"][0]["input"], "label": "dark"})
    assert sent.status_code == 200
    assert names[0] not in [row["request_id"] for row in client.get(f"{FEEDBACK}/candidates").json()["data"]]
    assert len(stored_records()) == 7


@pytest.mark.usefixtures("model")
def test_a_dataset_needs_feedback_and_rows_to_add_it_to(client: TestClient) -> None:
    missing = client.post(f"{FEEDBACK}/dataset", json={})
    assert missing.status_code == 409
    assert "was not trained here" in missing.text
    dataset_id = ready_dataset("shades")
    empty = client.post(f"{FEEDBACK}/dataset", json={"dataset": "shades"})
    assert empty.status_code == 409
    assert "has no feedback" in empty.text
    client.post(FEEDBACK, json={"input": pixels(7), "label": "dark"})
    with transaction() as session:
        session.execute(update(Model).values(dataset_id=dataset_id))
    created = client.post(f"{FEEDBACK}/dataset", json={})
    assert created.status_code == 202, created.text
    assert (created.json()["dataset"], created.json()["origin"]) == ("shades-feedback@1", "shades@1")
    origin = client.get(f"/api/v1/datasets/{created.json()['id']}").json()["origin"]
    assert [item["operation"] for item in origin["operations"]] == ["sample", "add_feedback"]
