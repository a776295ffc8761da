"""The API process on the network: early rejections, deadlines, shutdown."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api_process import ApiProcess
from tests.support.factories import queue_job

pytestmark = pytest.mark.process

MIB = 1024**2


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path]) -> Iterator[ApiProcess]:
    api = ApiProcess(new_home())
    api.environment |= {"PLINTH_HEADER_TIMEOUT_SECONDS": "1", "PLINTH_BODY_IDLE_TIMEOUT_SECONDS": "1"}
    with api:
        yield api


def connect(api: ApiProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=10)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("POST", "/api/v1/datasets", "multipart/form-data; boundary=b", 401),
        ("POST", "/api/v1/datasets", "application/json", 401),
        ("POST", "/api/v1/jobs", "application/json", 401),
        ("POST", "/api/v1/uploads", "application/offset+octet-stream", 401),
        ("PATCH", "/api/v1/uploads/upl_1", "application/offset+octet-stream", 401),
        ("POST", "/predict/digits", "image/png", 401),
        ("POST", "/nowhere", "text/plain", 413),
    ],
)
def test_without_a_key_the_body_is_not_stored(
    api: ApiProcess, method: str, path: str, content_type: str, status: int
) -> None:
    size, initial_bytes = 200 * MIB, api.rss_bytes()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\n\r\n"
    )
    with connect(api) as connection:
        connection.sendall(head.encode())
        response = connection.recv(4096)  # Before a single byte of the body was sent.
        assert response.startswith(b"HTTP/1.1 %d " % status)
        assert b"application/problem+json" in response
        try:
            for _ in range(200):
                connection.sendall(b"x" * MIB)
        except OSError:
            pass  # It is free to hang up.
    assert api.rss_bytes() - initial_bytes < 20 * MIB
    incoming = Path(api.environment["PLINTH_HOME"]) / "incoming"
    assert list(incoming.iterdir()) == []


def test_a_client_that_sends_everything_first_can_read_the_rejection(api: ApiProcess) -> None:
    status, headers, body = api.request(
        "POST", "/api/v1/datasets", headers={"Authorization": "Bearer wrong"}, body=b"x" * 50 * MIB
    )
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert b"key_unknown" in body


def test_an_announced_size_above_the_limit_is_rejected_before_the_body_is_sent(api: ApiProcess) -> None:
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {1 << 40}\r\n\r\n"
    )
    with connect(api) as connection:
        connection.sendall(head.encode())
        response = b"".join(iter(lambda: connection.recv(4096), b""))
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"33554432 bytes" in response


def test_a_body_of_unknown_size_is_limited(api: ApiProcess) -> None:
    initial_bytes = api.rss_bytes()
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.key}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    response = b""
    with connect(api) as connection:
        connection.sendall(head.encode())
        try:
            for _ in range(100):
                connection.sendall(b"100000\r\n" + b" " * MIB + b"\r\n")
            response = connection.recv(4096)
        except OSError:
            response = response or b"reset"
    assert response == b"reset" or response.startswith(b"HTTP/1.1 413 ")
    assert api.rss_bytes() - initial_bytes < 100 * MIB


@pytest.mark.parametrize("cut_bytes", [70_001, 300_000, 3 * MIB])
def test_large_bodies_arrive_complete_on_one_connection(api: ApiProcess, cut_bytes: int) -> None:
    content = secrets.token_bytes(3 * MIB - 17)
    with connect(api) as connection:
        for _ in range(2):
            upload = _begun_upload(api, len(content))
            # The next request comes before the answer: it begins where the body ends, not a byte earlier or later.
            data = _piece_head(api, upload, len(content)) + content + _head(api, f"GET {upload}")
            for start in range(0, len(data), cut_bytes):
                connection.sendall(data[start : start + cut_bytes])
                time.sleep(0.01)
            responses = b""
            while b'"complete":true' not in responses:
                piece = connection.recv(65536)
                assert piece, responses
                responses += piece
            assert responses.startswith(b"HTTP/1.1 204 ")
            stored = Path(api.environment["PLINTH_HOME"]) / "blobs" / "uploads" / upload.rpartition("/")[2] / "data"
            assert stored.read_bytes() == content


def test_the_received_part_of_a_large_body_is_stored_when_the_connection_breaks(api: ApiProcess) -> None:
    upload = _begun_upload(api, 20 * MIB)
    data = secrets.token_bytes(5 * MIB + 4321)
    with connect(api) as connection:
        connection.sendall(_piece_head(api, upload, 20 * MIB) + data)
    path = Path(api.environment["PLINTH_HOME"]) / "incoming" / upload.rpartition("/")[2]
    deadline = time.monotonic() + 10
    while path.stat().st_size < len(data) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.read_bytes() == data


def test_a_client_that_expects_100_continue_gets_it(api: ApiProcess) -> None:
    upload = _begun_upload(api, MIB)
    head = _piece_head(api, upload, MIB).removesuffix(b"\r\n") + b"Expect: 100-continue\r\n\r\n"
    with connect(api) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(bytes(MIB))
        assert connection.recv(4096).startswith(b"HTTP/1.1 204 ")


def _begun_upload(api: ApiProcess, length: int) -> str:
    status, headers, _ = api.request("POST", "/api/v1/uploads", headers={"Upload-Length": str(length)})
    assert status == 201
    return headers["location"]


def _head(api: ApiProcess, request: str, *lines: str) -> bytes:
    start = [f"{request} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {api.key}"]
    return "".join(f"{line}\r\n" for line in (*start, *lines, "")).encode()


def _piece_head(api: ApiProcess, upload: str, length: int) -> bytes:
    kind = "Content-Type: application/offset+octet-stream"
    return _head(api, f"PATCH {upload}", "Upload-Offset: 0", kind, f"Content-Length: {length}")


def test_connections_with_unfinished_headers_are_closed_and_block_no_other(api: ApiProcess) -> None:
    started = time.monotonic()
    connections = [connect(api) for _ in range(100)]
    for connection in connections:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127")
    request_start = time.monotonic()
    assert api.request("GET", "/healthz")[0] == 200
    assert time.monotonic() - request_start < 1
    for connection in connections:
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")
        connection.close()
    assert time.monotonic() - started < 10


def test_endless_headers_are_rejected(api: ApiProcess) -> None:
    with connect(api) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 100_000)
        assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")


def test_bytes_that_are_not_http_get_a_problem_document(api: ApiProcess) -> None:
    with connect(api) as connection:
        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        response = connection.recv(4096)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in response


def test_a_body_that_stops_arriving_is_rejected(api: ApiProcess) -> None:
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with connect(api) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_an_unknown_host_name_is_rejected(api: ApiProcess, host: str) -> None:
    status, _, body = api.request("GET", "/healthz", headers={"Host": host})
    assert status == 400
    assert b"PLINTH_ALLOWED_HOSTS" in body


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1", "[::1]:8000", "192.168.1.7:8000"])
def test_ip_addresses_and_localhost_are_accepted(api: ApiProcess, host: str) -> None:
    assert api.request("GET", "/healthz", headers={"Host": host})[0] == 200


def test_other_origins_are_not_allowed(api: ApiProcess) -> None:
    _, headers, _ = api.request("GET", "/api/v1/datasets", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in headers
    assert headers["x-content-type-options"] == "nosniff"


def test_a_public_address_needs_a_key(home: Path) -> None:
    environment = {**os.environ, "PLINTH_HOST": "0.0.0.0", "PLINTH_PORT": "0"}
    ended = subprocess.run([sys.executable, "-m", "app"], env=environment, capture_output=True, timeout=20, text=True)
    assert ended.returncode == 78
    assert "PLINTH_API_KEY" in ended.stderr


def test_logs_have_one_line_per_event_and_no_secret(new_home: Callable[[], Path]) -> None:
    with ApiProcess(new_home()) as api:
        api.request("GET", "/api/v1/datasets")
        api.request("GET", "/api/v1/%0A%7B%22forged%22%3A1%7D%1B%5B31mred")
        foreign = f"plinth_abc_{secrets.token_hex(20)}"
        api.request("GET", f"/api/v1/{foreign}", headers={"Authorization": f"Bearer {foreign}"})
    text = api.log.read_text()
    lines = text.splitlines()
    assert all(line.startswith("{") and line.endswith("}") for line in lines), text
    assert api.key not in text
    assert foreign not in text
    assert "\x1b" not in text
    assert "Traceback" not in text
    assert sum("forged" in line for line in lines) == 1


def test_shutdown_takes_less_than_three_seconds_with_open_streams(home: Path) -> None:
    with ApiProcess(home) as api:
        job_id = queue_job()
        streams = [connect(api) for _ in range(5)]
        for stream in streams:
            stream.sendall(
                f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Bearer {api.key}\r\nAccept: text/event-stream\r\n\r\n".encode()
            )
            assert b"text/event-stream" in stream.recv(4096)
        started = time.monotonic()
        assert api.stop() == 0
        assert time.monotonic() - started < 3
        for stream in streams:
            assert b"event: end" not in read_all(stream)
            stream.close()


def test_a_request_that_is_not_answered_before_the_shutdown_gets_503(new_home: Callable[[], Path]) -> None:
    api = ApiProcess(new_home())
    api.environment["PLINTH_SHUTDOWN_TIMEOUT_SECONDS"] = "1"
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {api.key}\r\nContent-Type: application/json\r\n"
    with api, connect(api) as connection:
        connection.sendall(f"POST /api/v1/jobs HTTP/1.1\r\n{head}Content-Length: 100\r\n\r\n{{".encode())
        time.sleep(0.3)
        assert api.stop() == 0
        response = read_all(connection).lower()
    assert response.startswith(b"http/1.1 503 ")
    assert b"retry-after: 1" in response
    assert b'"code":"stopped"' in response
