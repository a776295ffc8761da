"""API keys: creation, checks, rotation, revocation."""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.app.conftest import KEY
from tests.support.api_process import ApiProcess


def test_a_new_key_is_accepted_like_the_first_one(client: TestClient) -> None:
    created = client.post("/api/v1/keys", json={"name": "laptop"})
    assert created.status_code == 201
    secret = created.json()["secret"]
    assert secret.startswith("plinth_")
    headers = {"Authorization": f"bearer {secret}"}
    listed = client.get("/api/v1/keys", headers=headers).json()["data"]
    assert [key["name"] for key in listed] == ["laptop", "first"]
    assert all("secret" not in key for key in listed)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY} x"},
        {"Authorization": KEY},
        {"Authorization": "Bearer \xff"},
    ],
)
def test_other_credentials_are_rejected(client: TestClient, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = client.get("/api/v1/keys", headers=raw)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json", "/static/swagger-ui.css", "/"])
def test_open_paths_need_no_key(client: TestClient, path: str) -> None:
    response = client.get(path, headers={"Authorization": ""})
    assert response.status_code in (200, 503), response.text


def test_every_other_path_needs_a_key(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needs_none = operation.get("security") == []
            response = client.request(method, path.replace("{", "").replace("}", ""), headers={"Authorization": ""})
            assert (response.status_code == 401) is not needs_none, (method, path)


def test_a_repeated_creation_makes_one_key_and_shows_its_secret_once(client: TestClient, home: Path) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = (client.post("/api/v1/keys", json={"name": "a"}, headers=headers).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert second["secret"] is None
    assert first["secret"] not in "".join(sqlite3.connect(home / "plinth.db").iterdump())


@pytest.mark.process
def test_true_is_no_number_of_jobs(client: TestClient) -> None:
    response = client.post("/api/v1/keys", json={"name": "ann", "max_jobs": True})
    assert response.status_code == 422
    assert [(error["path"], error["message"]) for error in response.json()["errors"]] == [
        ("max_jobs", "Input should be a number, not true or false")
    ]


def test_a_revoked_key_is_rejected_within_a_second(home: Path) -> None:
    """Both in the process that revoked it, and in another one on the same database."""
    with ApiProcess(home) as here, ApiProcess(home) as elsewhere:
        status, _, body = here.request(
            "POST", "/api/v1/keys", headers={"Content-Type": "application/json"}, body=b'{"name": "lost"}'
        )
        assert status == 201
        key = json.loads(body)
        headers = {"Authorization": f"Bearer {key['secret']}"}
        assert elsewhere.request("GET", "/api/v1/jobs", headers=headers)[0] == 200
        assert here.request("DELETE", f"/api/v1/keys/{key['id']}")[0] == 204
        revoked = time.monotonic()
        for api in (here, elsewhere):
            while api.request("GET", "/api/v1/jobs", headers=headers)[0] != 401:
                assert time.monotonic() - revoked < 1
        assert stat.S_IMODE((home / "incoming").stat().st_mode) == 0o700


def test_a_key_that_this_process_revoked_is_rejected_at_once(new_client: Callable[..., TestClient]) -> None:
    client = new_client(key_cache_seconds=1)
    key = client.post("/api/v1/keys", json={"name": "lost"}).json()
    headers = {"Authorization": f"Bearer {key['secret']}"}
    assert client.get("/api/v1/jobs", headers=headers).status_code == 200
    assert client.delete(f"/api/v1/keys/{key['id']}").status_code == 204
    assert client.get("/api/v1/jobs", headers=headers).status_code == 401
    assert client.delete("/api/v1/keys/key_1").status_code == 404


def test_a_rotated_key_is_accepted_with_both_secrets_until_the_grace_period_ends(
    new_client: Callable[..., TestClient],
) -> None:
    client = new_client(key_cache_seconds=0)
    key = client.post("/api/v1/keys", json={"name": "shop", "scope": "train"}).json()
    first = {"Authorization": f"Bearer {key['secret']}"}
    rotated = client.post(f"/api/v1/keys/{key['id']}/rotate", json={"grace_seconds": 600}).json()
    assert (rotated["id"], rotated["scope"], rotated["name"]) == (key["id"], "train", "shop")
    second = {"Authorization": f"Bearer {rotated['secret']}"}
    assert [client.get("/api/v1/jobs", headers=headers).status_code for headers in (first, second)] == [200, 200]
    client.post(f"/api/v1/keys/{key['id']}/rotate", json={"grace_seconds": 0})
    assert [client.get("/api/v1/jobs", headers=headers).status_code for headers in (first, second)] == [401, 401]
    assert client.post("/api/v1/keys/key_1/rotate", json={}).status_code == 404


def test_a_repeated_rotation_is_executed_once(client: TestClient, home: Path) -> None:
    key = client.post("/api/v1/keys", json={"name": "shop"}).json()
    path, headers = f"/api/v1/keys/{key['id']}/rotate", {"Idempotency-Key": "once"}
    first, second = (client.post(path, json={}, headers=headers).json() for _ in range(2))
    assert second["secret"] is None
    assert client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {first['secret']}"}).status_code == 200
    assert first["secret"] not in "".join(sqlite3.connect(home / "plinth.db").iterdump())


def test_the_rotated_first_key_is_replaced_in_its_file(new_client: Callable[..., TestClient], home: Path) -> None:
    file = home / "api-key"
    file.write_text("plinth_first_key_of_this_home\n")
    client = new_client(api_key=None)
    client.headers["Authorization"] = f"Bearer {file.read_text().strip()}"
    (key,) = client.get("/api/v1/keys").json()["data"]
    rotated = client.post(f"/api/v1/keys/{key['id']}/rotate", json={"grace_seconds": 0}).json()
    assert file.read_text().strip() == rotated["secret"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert client.get("/api/v1/jobs").status_code == 401
