"""Watches: what is recorded of a model's requests, within which bounds, and what is refused."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from store.adaptation import watches
from store.blobs import blobs
from store.database import transaction
from store.tables import RequestRecord, clock
from tests.support.factories import SIDE, painter, png, register, shades

WATCH = "/api/v1/models/shades/watch"


def ask(client: TestClient, brightness: int, *, request_id: str = "", model: str = "shades") -> Any:
    headers = {"Content-Type": "image/png", **({"X-Request-Id": request_id} if request_id else {})}
    answer = client.post(f"/predict/{model}", content=png(brightness), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def watch_once(client: TestClient, is_reached: Callable[[Any], bool]) -> Any:
    """The watch, once its figures have arrived."""
    deadline = time.monotonic() + 10
    while True:
        watch = client.get(WATCH).json()
        if is_reached(watch["state"]):
            return watch
        assert time.monotonic() < deadline, watch
        time.sleep(0.05)


def stored_records() -> Sequence[RequestRecord]:
    with transaction() as session:
        rows = session.scalars(select(RequestRecord).order_by(RequestRecord.id)).all()
        for row in rows:
            assert row.input is None or row.input
        return rows


@pytest.mark.usefixtures("model")
def test_nothing_is_recorded_without_a_watch_or_when_it_is_off(client: TestClient) -> None:
    assert client.get(WATCH).status_code == 404
    ask(client, 0)
    put = client.put(WATCH, json={})
    assert (put.status_code, put.json()["keep"], put.json()["then"]) == (200, "off", "tell")
    ask(client, 0)
    time.sleep(0.7)
    assert stored_records() == []
    assert client.get(WATCH).json()["state"]["versions"] == []


@pytest.mark.usefixtures("model")
def test_rows_are_recorded_with_their_answer_version_and_request(client: TestClient) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    ask(client, 255, request_id="first")
    client.post(
        "/predict/shades", json={"inputs": [{"pixels": [[0] * SIDE] * SIDE}, {"pixels": [[255] * SIDE] * SIDE}]}
    )
    watch = watch_once(client, lambda state: state["records"] == 3)
    first, *others = stored_records()
    assert (first.request_id, first.position, first.version, first.label) == ("first", 0, 1, "light")
    assert first.confidence > 0.9
    assert json.loads(first.input or b"") == {"image": base64.b64encode(png(255)).decode()}
    assert [(row.position, row.label) for row in others] == [(0, "dark"), (1, "light")]
    assert others[0].request_id == others[1].request_id
    assert first.embedding is not None
    assert len(first.embedding) == 4
    assert watch["state"]["versions"] == [{"version": 1, "requests": 2, "errors": 0, "recorded": 3, "dropped": 0}]
    assert 'plinth_requests_recorded_total{model="shades"} 3.0' in client.get("/metrics").text


@pytest.mark.usefixtures("model")
def test_sketches_have_no_input(client: TestClient) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    ask(client, 255)
    watch_once(client, lambda state: state["records"] == 1)
    client.put(WATCH, json={"keep": "sketches", "fraction": 1})
    ask(client, 0)
    watch_once(client, lambda state: state["records"] == 2)
    assert [(row.input, row.label, len(row.statistics)) for row in stored_records()] == [
        (None, "light", 6),
        (None, "dark", 6),
    ]


@pytest.mark.usefixtures("model")
def test_a_fraction_is_drawn_and_answers_without_labels_are_left_out(client: TestClient) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 0.25})
    for _ in range(60):
        ask(client, 0)
    client.post(
        "/predict/shades", json={"inputs": [{"pixels": [[0] * SIDE] * SIDE}], "parameters": {"return": "embedding"}}
    )
    state = watch_once(client, lambda state: state["versions"] and state["versions"][0]["requests"] == 61)["state"]
    # A binomial count of 60 draws with probability 0.25 is outside of these bounds less than once in 10,000 runs.
    assert 3 <= state["versions"][0]["recorded"] <= 30


@pytest.mark.usefixtures("model")
def test_records_stay_within_their_number_their_bytes_and_their_age(client: TestClient) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 1, "max_rows": 3})
    for number in range(5):
        ask(client, number, request_id=f"r{number}")
    watch_once(client, lambda state: state["records"] == 3 and state["versions"][0]["recorded"] == 5)
    assert [row.request_id for row in stored_records()] == ["r2", "r3", "r4"]
    size = stored_records()[0].bytes
    client.put(WATCH, json={"keep": "rows", "fraction": 1, "max_bytes": max(1024, 2 * size)})
    with transaction() as session:
        session.execute(update(RequestRecord).where(RequestRecord.request_id == "r3").values(bytes=10_000))
    ask(client, 9, request_id="r9")
    watch_once(client, lambda state: state["versions"][0]["recorded"] == 6 and state["records"] == 2)
    assert [row.request_id for row in stored_records()] == ["r4", "r9"]
    with transaction() as session:
        session.execute(update(RequestRecord).where(RequestRecord.request_id == "r4").values(created_at=clock(-8e5)))
    client.put(WATCH, json={"keep": "rows", "fraction": 1, "max_days": 9})
    ask(client, 9, request_id="r10")
    watch_once(client, lambda state: state["versions"][0]["recorded"] == 7)
    assert [row.request_id for row in stored_records()] == ["r9", "r10"]


@pytest.mark.usefixtures("model")
def test_the_end_of_a_watch_deletes_its_records(client: TestClient) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    ask(client, 0)
    watch_once(client, lambda state: state["records"] == 1)
    assert client.delete(WATCH).status_code == 204
    assert stored_records() == []
    ask(client, 0)
    time.sleep(0.7)
    assert stored_records() == []
    assert client.delete(WATCH).status_code == 404


@pytest.mark.usefixtures("model")
def test_the_last_version_takes_its_watch_with_it(client: TestClient) -> None:
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    ask(client, 0)
    watch_once(client, lambda state: state["records"] == 1)
    assert client.delete("/api/v1/models/shades").status_code == 204
    assert stored_records() == []
    assert client.get(WATCH).status_code == 404


@pytest.mark.usefixtures("model")
def test_training_needs_an_alias_and_sets_it(client: TestClient) -> None:
    answer = client.put(WATCH, json={"keep": "rows", "then": "promote"})
    assert answer.json()["state"]["events"][0]["kind"] == "alias"
    assert client.get("/api/v1/models/shades/aliases/production").json()["version"] == 1


@pytest.mark.usefixtures("model")
def test_a_watch_with_a_training_can_be_changed_though_its_dataset_is_deleted(client: TestClient) -> None:
    training = {"schedule": {"epochs": 1}}
    with transaction() as session:
        options = {"training": training, "dataset": None, "drift": "auto", "then": "tell"}
        watches.put(session, "shades", keep="rows", fraction=0.1, options=options)
    answer = client.put(WATCH, json={"keep": "rows", "fraction": 0.5, "training": training})
    assert (answer.status_code, answer.json()["fraction"]) == (200, 0.5), answer.text
    answer = client.put(WATCH, json={"keep": "rows", "training": {"schedule": {"epochs": 2}}})
    assert (answer.status_code, "name one with the same columns" in answer.text) == (409, True)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"keep": "all"}, "keep"),
        ({"fraction": 0}, "fraction"),
        ({"drift": ["confidence", "embeding"]}, "no drift test named 'embeding'"),
        ({"gate": {"min_test_rows": 1}}, "min_test_rows"),
        ({"gate": "none"}, "gate"),
        ({"then": "nothing"}, "then"),
        ({"dataset": "nowhere"}, "no dataset named 'nowhere'"),
        ({"share": 0.1}, "share"),
    ],
)
def test_an_invalid_watch_is_refused_with_its_reason(client: TestClient, body: dict[str, Any], words: str) -> None:
    answer = client.put(WATCH, json=body)
    assert answer.status_code == 422
    assert words in answer.text
    assert client.get(WATCH).status_code == 404


def test_a_model_whose_answers_have_no_label_is_refused(client: TestClient, tmp_path: Path) -> None:
    register(painter(tmp_path / "painter"), name="painter")
    answer = client.put("/api/v1/models/painter/watch", json={"keep": "rows"})
    assert answer.status_code == 422
    assert "painter@1 does image_generation" in answer.text
    assert "text_classification" in answer.text
    assert client.put("/api/v1/models/nobody/watch", json={"keep": "rows"}).status_code == 404


def test_errors_of_a_version_are_counted(client: TestClient, tmp_path: Path) -> None:
    from store.blobs import blobs

    register(shades(tmp_path / "first"))
    client.put(WATCH, json={"keep": "sketches", "fraction": 1})
    blobs().delete(f"models/{client.get('/api/v1/models/shades/versions/1').json()['id']}")
    answer = client.post("/predict/shades", content=png(0), headers={"Content-Type": "image/png"})
    assert answer.status_code >= 400
    state = watch_once(client, lambda state: state["versions"] != [])["state"]
    assert (state["versions"][0]["errors"], state["versions"][0]["requests"]) == (1, 1)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(("mode", "versions"), [("canary", [(1, 2, 0), (2, 1, 1)]), ("shadow", [(1, 2, 0)])])
def test_errors_of_a_candidate_do_not_count_for_the_version_that_answers(
    client: TestClient, tmp_path: Path, mode: str, versions: list[tuple[int, int, int]]
) -> None:
    register(shades(tmp_path / "second"))
    candidate = client.get("/api/v1/models/shades/versions/2").json()["id"]
    client.put("/api/v1/models/shades/aliases/production", json={"version": 1})
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    ask(client, 0)
    client.put("/api/v1/models/shades/aliases/production/split", json={"version": 2, "mode": mode, "weight": 1})
    blobs().delete(f"models/{candidate}")
    ask(client, 0)
    watch = watch_once(client, lambda state: state["records"] == 2)
    counts = [(row["version"], row["requests"], row["errors"]) for row in watch["state"]["versions"]]
    assert counts == versions


@pytest.mark.usefixtures("model")
def test_the_answers_of_a_shadow_are_not_recorded(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "second", bias=1e6))
    client.put("/api/v1/models/shades/aliases/production", json={"version": 1})
    split = "/api/v1/models/shades/aliases/production/split"
    client.put(split, json={"version": 2, "mode": "shadow", "weight": 1})
    client.put(WATCH, json={"keep": "rows", "fraction": 1})
    ask(client, 0, request_id="only")
    deadline = time.monotonic() + 10
    while client.get(split).json()["candidate"]["requests"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.7)
    assert [(row.request_id, row.version, row.label) for row in stored_records()] == [("only", 1, "dark")]


@pytest.mark.usefixtures("model")
def test_a_watch_and_feedback_are_of_a_name_not_of_an_id(client: TestClient) -> None:
    model_id = client.get("/api/v1/models/shades/versions/1").json()["id"]
    watch = client.put(f"/api/v1/models/{model_id}/watch", json={"keep": "rows"})
    body = {"input": {"pixels": [[0] * SIDE] * SIDE}, "label": "dark"}
    feedback = client.post(f"/api/v1/models/{model_id}/feedback", json=body)
    assert (watch.status_code, feedback.status_code) == (404, 404), (watch.text, feedback.text)
