"""Resumable uploads, and datasets created from them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tusclient.client import TusClient

from app.uploads.service import discard_expired
from store.blobs import blobs
from tests.app.conftest import KEY
from tests.support.api_process import ApiProcess

PIECE = "application/offset+octet-stream"


def metadata(filename: str) -> str:
    return f"filename {base64.b64encode(filename.encode()).decode()}"


def create(client: TestClient, length: int, **headers: str):
    names = {"Upload-Length": str(length), "Upload-Metadata": metadata("a.zip"), "Tus-Resumable": "1.0.0"}
    return client.post(
        "/api/v1/uploads", headers=names | {name.replace("_", "-"): text for name, text in headers.items()}
    )


def send(client: TestClient, location: str, offset: int, content: bytes, **headers: str):
    names = {"Upload-Offset": str(offset), "Content-Type": PIECE, "Tus-Resumable": "1.0.0"}
    names |= {name.replace("_", "-"): text for name, text in headers.items()}
    return client.patch(location, content=content, headers=names)


def checksum(algorithm: str, content: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def test_an_upload_in_pieces_becomes_a_blob(client: TestClient, home: Path) -> None:
    created = create(client, 11)
    assert created.status_code == 201
    location = created.headers["location"]
    assert send(client, location, 0, b"hello ").headers["upload-offset"] == "6"
    head = client.head(location)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("6", "11")
    assert head.headers["upload-metadata"] == metadata("a.zip")
    assert parsedate_to_datetime(head.headers["upload-expires"]) > datetime.now(UTC)
    assert send(client, location, 6, b"world").status_code == 204
    upload = client.get(location).json()
    assert upload["complete"] is True
    with blobs().open(f"uploads/{upload['id']}/a.zip") as file:
        assert file.read() == b"hello world"
    assert list((home / "incoming").iterdir()) == []
    assert client.head(location).headers["upload-offset"] == "11"


def test_the_server_lists_its_tus_extensions(client: TestClient) -> None:
    headers = client.options("/api/v1/uploads").headers
    assert headers["tus-version"] == "1.0.0"
    for extension in ("creation", "creation-with-upload", "checksum", "termination", "expiration"):
        assert extension in headers["tus-extension"].split(",")
    assert headers["tus-checksum-algorithm"] == "sha256,sha1,md5"


def test_the_first_piece_may_come_with_the_creation(client: TestClient) -> None:
    response = client.post("/api/v1/uploads", content=b"all", headers={"Upload-Length": "3", "Content-Type": PIECE})
    assert response.headers["upload-offset"] == "3"
    assert client.get(response.headers["location"]).json()["complete"] is True


def test_an_empty_upload_is_complete_at_once(client: TestClient) -> None:
    response = create(client, 0)
    assert client.get(response.headers["location"]).json()["complete"] is True


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_with_a_wrong_checksum_is_not_stored(client: TestClient, algorithm: str) -> None:
    location = create(client, 4).headers["location"]
    refused = send(client, location, 0, b"wron", Upload_Checksum=checksum(algorithm, b"good"))
    assert refused.status_code == 460
    assert client.head(location).headers["upload-offset"] == "0"
    assert send(client, location, 0, b"good", Upload_Checksum=checksum(algorithm, b"good")).status_code == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Offset": "3"}, 409),
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Upload-Checksum": "crc32 AAAA"}, 400),
        ({"Upload-Checksum": "sha1 ***"}, 400),
        ({"Upload-Offset": "x"}, 422),
    ],
)
def test_an_invalid_piece_is_rejected(client: TestClient, headers: dict[str, str], status: int) -> None:
    location = create(client, 4).headers["location"]
    sent = {"Upload-Offset": "0", "Content-Type": PIECE, "Tus-Resumable": "1.0.0"} | headers
    response = client.patch(location, content=b"good", headers=sent)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert client.head(location).headers["upload-offset"] == "0"


def test_bytes_beyond_the_announced_length_are_rejected(client: TestClient) -> None:
    location = create(client, 4).headers["location"]
    assert send(client, location, 0, b"12345").status_code == 413


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_a_header_names_the_method_where_a_network_blocks_patch_and_delete(client: TestClient, method: str) -> None:
    location = create(client, 5).headers["location"]
    names = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": PIECE, "X-HTTP-Method-Override": "PATCH"}
    appended = client.request(method, location, content=b"hello", headers=names)
    assert (appended.status_code, appended.headers["upload-offset"]) == (204, "5")
    read = client.request(method, location, headers={"X-HTTP-Method-Override": "head"})
    assert (read.status_code, read.headers["upload-offset"]) == (200, "5")
    assert client.request(method, location, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert client.head(location).status_code == 404


def test_only_uploads_read_the_header_that_names_the_method(client: TestClient) -> None:
    assert client.get("/api/v1/models", headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200
    refused = client.post("/api/v1/uploads", headers={"X-HTTP-Method-Override": "MERGE"})
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("headers", "extension", "step"),
    [
        ({"Upload-Concat": "partial", "Upload-Length": "50"}, "concatenation", "parallelUploads: 1"),
        ({"Upload-Concat": "final;/api/v1/uploads/a /api/v1/uploads/b"}, "concatenation", "one part"),
        ({"Upload-Defer-Length": "1"}, "creation-defer-length", "Upload-Length"),
    ],
)
def test_an_extension_that_is_not_offered_is_refused_at_the_first_request(
    client: TestClient, headers: dict[str, str], extension: str, step: str
) -> None:
    offered = client.options("/api/v1/uploads").headers["tus-extension"]
    refused = client.post("/api/v1/uploads", headers={"Tus-Resumable": "1.0.0", **headers})
    assert (refused.status_code, refused.json()["code"]) == (400, "unsupported_tus_extension")
    assert extension in refused.json()["detail"]
    assert step in refused.json()["detail"]
    assert extension not in offered.split(",")
    assert refused.headers["tus-extension"] == offered


def test_a_terminated_upload_is_gone(client: TestClient, home: Path) -> None:
    location = create(client, 4).headers["location"]
    send(client, location, 0, b"12")
    assert client.delete(location).status_code == 204
    assert client.head(location).status_code == 404
    assert list((home / "incoming").iterdir()) == []


def test_an_unfinished_upload_expires(new_client: Callable[..., TestClient], home: Path) -> None:
    client = new_client(upload_expires_seconds=0.001)
    location = create(client, 4).headers["location"]
    time.sleep(0.01)  # Its time to live.
    discard_expired(client.app.state.partial_uploads)
    assert client.head(location).status_code == 404
    assert list((home / "incoming").iterdir()) == []


def test_responses_name_the_limit(new_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    client = new_client(max_upload_bytes=5000)
    response = create(client, 5001)
    assert response.status_code == 413
    assert "5000" in response.json()["detail"]
    client.app.state.partial_uploads._floor_bytes = 1 << 60
    response = create(client, 10)
    assert response.status_code == 507
    assert response.json()["code"] == "storage_full"


def test_a_repeated_creation_makes_one_upload(client: TestClient) -> None:
    first, second = (create(client, 4, Idempotency_Key="once") for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert second.headers["idempotent-replayed"] == "true"


def test_uploads_become_a_dataset(client: TestClient) -> None:
    ids = []
    for name in ("images.gz", "labels.gz"):
        response = client.post(
            "/api/v1/uploads",
            content=b"abc",
            headers={"Upload-Length": "3", "Content-Type": PIECE, "Upload-Metadata": metadata(name)},
        )
        ids.append(response.json()["id"])
    response = client.post("/api/v1/datasets", json={"name": "digits", "upload": ids, "task": "image_classification"})
    assert response.status_code == 202
    dataset = response.json()
    assert response.headers["location"] == f"/api/v1/datasets/{dataset['id']}"
    assert (dataset["name"], dataset["version"], dataset["state"]) == ("digits", 1, "importing")
    (job,) = client.get("/api/v1/jobs?kind=validate").json()["data"]
    assert [source["filename"] for source in job["spec"]["sources"]] == ["images.gz", "labels.gz"]
    assert client.get("/api/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ({"filename": "1.png", "relativePath": "pets/golden retriever/1.png"}, "pets/golden retriever/1.png"),
        ({"filename": "pets/cat/1.png"}, "pets/cat/1.png"),
        ({"filename": "1.png", "relativePath": "null"}, None),
        ({"filename": "1.png", "relativePath": "../pets/1.png"}, None),
    ],
)
def test_the_paths_of_uploads_of_a_folder_are_kept(client: TestClient, names: dict[str, str], path: str | None) -> None:
    pairs = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in names.items())
    upload = create(client, 1, Upload_Metadata=pairs)
    send(client, upload.headers["location"], 0, b"x")
    assert client.post("/api/v1/datasets", json={"name": "pets", "upload": upload.json()["id"]}).status_code == 202
    [job] = client.get("/api/v1/jobs?kind=validate").json()["data"]
    [source] = job["spec"]["sources"]
    assert (source["filename"], source.get("path")) == ("1.png", path)


def test_an_unfinished_upload_makes_no_dataset(client: TestClient) -> None:
    upload_id = create(client, 4).json()["id"]
    response = client.post("/api/v1/datasets", json={"name": "digits", "upload": upload_id})
    assert response.status_code == 409
    assert "0 of 4 bytes" in response.json()["detail"]


@pytest.fixture
def api(home: Path) -> Iterator[ApiProcess]:
    with ApiProcess(home) as api:
        yield api


@pytest.mark.process
def test_the_tus_client_uploads_and_resumes(api: ApiProcess, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "digits.zip").write_bytes(content)
    address = f"http://127.0.0.1:{api.port}/api/v1/uploads"
    client = TusClient(address, headers={"Authorization": f"Bearer {api.key}"})
    options = {"chunk_size": 1_000_000, "metadata": {"filename": "digits.zip"}, "upload_checksum": True}
    with (tmp_path / "digits.zip").open("rb") as file:
        first = client.uploader(file_stream=file, **options)
        first.upload_chunk()
        second = client.uploader(file_stream=file, url=first.url, **options)
        assert second.offset == 1_000_000
        second.upload()
    path = first.url.removeprefix(f"http://127.0.0.1:{api.port}")
    upload = json.loads(api.request("GET", path)[2])
    assert upload["complete"] is True
    stored = api.home / "blobs" / "uploads" / upload["id"] / "digits.zip"
    assert stored.read_bytes() == content


@pytest.mark.process
def test_an_upload_survives_a_killed_api_process(api: ApiProcess) -> None:
    content = os.urandom(40_000_000)
    headers = {"Upload-Length": str(len(content)), "Upload-Metadata": metadata("x.bin")}
    _, response, _ = api.request("POST", "/api/v1/uploads", headers=headers)
    path = response["location"]
    incoming = api.home / "incoming" / path.rpartition("/")[2]

    def trickle() -> Iterator[bytes]:
        for start in range(0, len(content), 1_000_000):
            yield content[start : start + 1_000_000]
            time.sleep(0.02)

    def begin() -> None:
        with suppress(OSError):  # The server is killed.
            api.request("PATCH", path, headers={"Upload-Offset": "0", "Content-Type": PIECE}, body=trickle())

    sender = threading.Thread(target=begin)
    sender.start()
    deadline = time.monotonic() + 20
    while not incoming.stat().st_size > 5_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    api.kill(signal.SIGKILL)
    sender.join()
    api.start()
    _, response, _ = api.request("HEAD", path)
    offset = int(response["upload-offset"])
    assert 5_000_000 < offset < len(content)
    status, _, _ = api.request(
        "PATCH", path, headers={"Upload-Offset": str(offset), "Content-Type": PIECE}, body=content[offset:]
    )
    assert status == 204
    stored = api.home / "blobs" / "uploads" / incoming.name / "x.bin"
    assert stored.read_bytes() == content


@pytest.mark.process
def test_a_second_writer_gets_423(api: ApiProcess) -> None:
    _, response, _ = api.request("POST", "/api/v1/uploads", headers={"Upload-Length": "3000000"})
    path = response["location"]
    headers = {"Upload-Offset": "0", "Content-Type": PIECE}
    resume = threading.Event()

    def send_slowly() -> Iterator[bytes]:
        yield b"x" * 1_500_000
        assert resume.wait(20)
        yield b"x" * 1_500_000

    first: list[int] = []
    sender = threading.Thread(
        target=lambda: first.append(api.request("PATCH", path, headers=headers, body=send_slowly())[0])
    )
    sender.start()
    try:
        deadline = time.monotonic() + 20
        while (api.home / "incoming" / path.rpartition("/")[2]).stat().st_size == 0:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        _, response, _ = api.request("HEAD", path)
        status, response, _ = api.request(
            "PATCH", path, headers={**headers, "Upload-Offset": response["upload-offset"]}, body=b"y"
        )
        assert (status, response["retry-after"]) == (423, "1")
        assert api.request("DELETE", path)[0] == 423
    finally:
        resume.set()
        sender.join()
    assert first == [204]


def test_uploads_need_the_key(client: TestClient) -> None:
    assert client.post("/api/v1/uploads", headers={"Authorization": f"Bearer {KEY}x"}).status_code == 401
