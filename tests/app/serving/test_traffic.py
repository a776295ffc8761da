"""Canary and shadow versions of an alias, and the figures of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.serving.traffic import draws_candidate
from store.blobs import blobs
from tests.support.factories import painter, png, register, shades

SPLIT = "/api/v1/models/shades/aliases/production/split"
ALIAS = "/api/v1/models/shades/aliases/production"


@pytest.fixture
def versions(client: TestClient, tmp_path: Path) -> None:
    """Version 1 as `production`, and version 2 that calls every image light."""
    register(shades(tmp_path / "first"))
    register(shades(tmp_path / "second", bias=1e6))
    assert client.put(ALIAS, json={"version": 1}).status_code == 200


def ask(client: TestClient, key: str, *, brightness: int = 0, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "image/png", "X-Split-Key": key}
    content = png(brightness) if body is None else body
    return client.post("/predict/shades", content=content, headers=headers)


def figures(client: TestClient, *, answered: Callable[[Any], bool]) -> Any:
    """The split, once its figures have arrived."""
    deadline = time.monotonic() + 10
    while True:
        split = client.get(SPLIT).json()
        if answered(split):
            return split
        assert time.monotonic() < deadline, split
        time.sleep(0.05)


def test_a_larger_weight_only_adds_keys_to_the_candidate() -> None:
    keys = [f"user-{number}" for number in range(4000)]
    drawn = [{key for key in keys if draws_candidate(key, weight)} for weight in (0.0, 0.1, 0.5, 1.0)]
    assert [len(drawn[0]), len(drawn[3])] == [0, 4000]
    assert drawn[1] < drawn[2]
    # Five standard deviations of a binomial count: 95 and 158 keys.
    assert abs(len(drawn[1]) - 400) < 95
    assert abs(len(drawn[2]) - 2000) < 158


@pytest.mark.usefixtures("versions")
def test_a_canary_answers_the_requests_of_its_keys(client: TestClient) -> None:
    put = client.put(SPLIT, json={"version": 2, "weight": 0.5})
    assert (put.status_code, put.json()["candidate"]["requests"]) == (200, 0)
    keys = [f"user-{number}" for number in range(20)]
    for _ in range(2):
        for key in keys:
            assert ask(client, key).json()["version"] == (2 if draws_candidate(key, 0.5) else 1)
    by_candidate = 2 * sum(draws_candidate(key, 0.5) for key in keys)
    split = figures(client, answered=lambda split: split["current"]["requests"] + split["candidate"]["requests"] == 40)
    assert (split["candidate"]["requests"], split["candidate"]["errors"]) == (by_candidate, 0)
    assert (split["current"]["classes"], split["candidate"]["classes"]) == ({"dark": 1.0}, {"light": 1.0})
    assert split["candidate"]["latency_seconds"]["p50"] > 0
    assert 0.5 <= split["candidate"]["mean_confidence"] <= 1
    assert client.get(ALIAS).json()["is_split"]
    assert client.delete(SPLIT).status_code == 204
    assert {ask(client, key).json()["version"] for key in keys} == {1}


@pytest.mark.usefixtures("versions")
def test_a_shadow_gets_copies_and_never_answers(client: TestClient) -> None:
    client.put(SPLIT, json={"version": 2, "mode": "shadow", "weight": 1})
    for brightness in (0, 255):
        assert ask(client, "a", brightness=brightness).json()["version"] == 1
    split = figures(client, answered=lambda split: split["candidate"]["requests"] == 2)
    assert (split["agreement"], split["dropped"]) == (0.5, 0)
    assert split["current"]["classes"] == {"dark": 0.5, "light": 0.5}
    assert split["candidate"]["classes"] == {"light": 1.0}


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_a_candidate_that_fails_fails_no_request(client: TestClient, mode: str) -> None:
    blobs().delete(f"models/{client.get('/api/v1/models/shades/versions/2').json()['id']}")
    client.put(SPLIT, json={"version": 2, "mode": mode, "weight": 1})
    answer = ask(client, "a")
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    split = figures(client, answered=lambda split: split["candidate"]["requests"] == 1)
    assert (split["candidate"]["errors"], split["current"]["errors"]) == (1, 0)


@pytest.mark.usefixtures("versions")
def test_an_invalid_input_is_refused_and_counts_for_nobody(client: TestClient) -> None:
    client.put(SPLIT, json={"version": 2, "weight": 1})
    assert ask(client, "a", body=b"no image").status_code == 422
    assert ask(client, "a").status_code == 200
    split = figures(client, answered=lambda split: split["candidate"]["requests"] > 0)
    assert (split["candidate"]["requests"], split["candidate"]["errors"], split["current"]["requests"]) == (1, 0, 0)


@pytest.mark.usefixtures("versions")
def test_figures_stay_when_only_the_weight_changes_and_the_split_ends_with_a_move(client: TestClient) -> None:
    client.put(SPLIT, json={"version": 2, "weight": 1})
    ask(client, "a")
    figures(client, answered=lambda split: split["candidate"]["requests"] == 1)
    assert client.put(SPLIT, json={"version": 2, "weight": 0.2}).json()["candidate"]["requests"] == 1
    assert client.delete("/api/v1/models/shades/versions/2").status_code == 409
    other = client.put(SPLIT, json={"version": 2, "weight": 0.2, "mode": "shadow"})
    assert other.json()["candidate"]["requests"] == 0
    client.put(ALIAS, json={"version": 2})
    assert client.get(SPLIT).status_code == 404
    assert not client.get(ALIAS).json()["is_split"]


@pytest.mark.usefixtures("versions")
def test_a_split_needs_an_alias_a_version_of_its_task_and_a_fraction(client: TestClient, tmp_path: Path) -> None:
    assert client.put(SPLIT.replace("production", "none"), json={"version": 2, "weight": 0.5}).status_code == 404
    assert client.put(SPLIT, json={"version": 9, "weight": 0.5}).status_code == 404
    for body in ({"weight": 1.5}, {"weight": 10}, {"weight": 0.5, "mode": "half"}, {}):
        assert client.put(SPLIT, json={"version": 2, **body}).status_code == 422, body
    assert client.delete(SPLIT).status_code == 404
    register(painter(tmp_path / "painter"))
    refused = client.put(SPLIT, json={"version": 3, "weight": 0.5})
    assert refused.status_code == 409
    assert "image_generation" in refused.json()["detail"]
