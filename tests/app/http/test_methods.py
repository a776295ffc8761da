"""HEAD as GET without a body, and the method override of tus."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.app.jobs.test_jobs import ready_dataset
from tests.support.api_process import ApiProcess
from tests.support.factories import claim_job, png, queue_job, register, report_steps, shades

#: Headers that differ between two requests.
CHANGING = {"date", "x-request-id"}
#: Paths whose content differs between two requests, so that its length may, too.
CHANGING_PATHS = ("/metrics", "/api/v1/system", "/predict")


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path]) -> Iterator[ApiProcess]:
    with ApiProcess(new_home()) as process:
        yield process


def test_every_path_that_answers_get_answers_head_alike_without_a_body(client: TestClient, tmp_path: Path) -> None:
    register(shades(tmp_path / "package"), name="shades")
    client.put("/api/v1/models/shades/aliases/production", json={"version": 1})
    client.put("/api/v1/models/shades/watch", json={})
    ready_dataset("shades")
    job_id = queue_job()
    report_steps(claim_job(job_id), steps=2)
    values = {"name": "shades", "dataset": "shades", "version": 1, "alias": "production", "job_id": job_id}
    values |= {"code": "tiny_dataset", "model": "shades"}
    webhook = client.post("/api/v1/webhooks", json={"url": "https://example.com/plinth"}).json()["id"]
    deliveries = client.post(f"/api/v1/webhooks/{webhook}/test").json()
    values |= {"webhook_id": webhook, "delivery_id": deliveries["id"]}
    paths = [path for path, operations in client.get("/openapi.json").json()["paths"].items() if "get" in operations]
    paths = [path.format(**values) for path in paths if "{upload_id}" not in path]
    paths += ["/openapi.json", "/docs", "/", "/static/docs.js", "/static/samples/seven.png", "/nowhere"]
    assert len(paths) > 25
    for path in paths:
        read, head = (client.request(method, path, follow_redirects=False) for method in ("GET", "HEAD"))
        assert head.status_code == read.status_code, path
        assert head.content == b"", path
        ignored = CHANGING | ({"content-length"} if path.startswith(CHANGING_PATHS) else set())
        named = [
            {name: text for name, text in answer.headers.items() if name not in ignored} for answer in (read, head)
        ]
        assert named[1] == named[0], path


def test_head_of_an_upload_reads_its_offset(client: TestClient) -> None:
    location = client.post("/api/v1/uploads", headers={"Upload-Length": "5"}).headers["location"]
    assert client.head(location).headers["upload-offset"] == "0"


def test_head_needs_the_key_as_get_does(client: TestClient) -> None:
    assert client.head("/api/v1/models", headers={"Authorization": ""}).status_code == 401


def test_head_of_what_only_post_reads_names_post(client: TestClient) -> None:
    answer = client.head("/predict/digits")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("/chat/completions", 404, "ends in /v1"),
        ("/embeddings", 404, "ends in /v1"),
        ("/models", 405, "GET /api/v1/models lists"),
        ("/models/reviews", 405, "ends in /hf/NAME"),
        ("/embed", 404, "ends in /hf/NAME"),
        ("/predict", 405, "/predict/NAME"),
    ],
)
def test_the_error_for_a_wrong_address_names_the_right_one(
    client: TestClient, path: str, status: int, hint: str
) -> None:
    answer = client.post(path, json={"inputs": "a"})
    assert answer.status_code == status
    assert hint in answer.json()["detail"]
    # OpenAI's clients read `error.message`, those of Hugging Face `error`.
    if path != "/predict":
        assert hint in json.dumps(answer.json()["error"])


def test_head_of_a_stream_ends_and_the_connection_serves_the_next_request(api: ApiProcess) -> None:
    form, boundary = _form("digits.png", png(5))
    headers = {"Authorization": f"Bearer {api.key}"}
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)) as connection:
        connection.request(
            "POST",
            "/api/v1/models/import",
            form,
            {**headers, "Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        answer = connection.getresponse()
        location = answer.getheader("location")
        assert answer.read(), answer.status
        assert answer.status == 202
        start = time.monotonic()
        connection.request("HEAD", f"{location}/events", headers={**headers, "Accept": "text/event-stream"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
        assert time.monotonic() - start < 5


def test_a_form_takes_a_model_of_any_size(api: ApiProcess) -> None:
    form, boundary = _form("large.zip", bytes(90 * 1024**2))
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, _, answer = api.request("POST", "/api/v1/models/import", body=form, headers=headers)
    assert status == 202, answer


def _form(filename: str, content: bytes) -> tuple[bytes, str]:
    head = 'Content-Disposition: form-data; name="name"\r\n\r\nlarge\r\n--b0undary\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    return f"--b0undary\r\n{head}".encode() + content + b"\r\n--b0undary--\r\n", "b0undary"
