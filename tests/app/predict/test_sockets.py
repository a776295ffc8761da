"""Slow, malicious and broken clients: each gets its response, and no other is affected."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import SIDE, png, register, shades, writer

pytestmark = pytest.mark.process

#: Timeout of the service for headers, bodies and unread responses.
TIMEOUT_SECONDS = 1.0
#: Several times that, for a busy machine.
WITHIN_SECONDS = 6.0
DARK, LIGHT = png(5), png(250)


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api = ApiProcess(new_home())
    for name in ("HEADER_TIMEOUT", "BODY_IDLE_TIMEOUT", "UNREAD_TIMEOUT", "KEEP_ALIVE"):
        api.environment[f"PLINTH_{name}_SECONDS"] = str(TIMEOUT_SECONDS)
    with homes.use_home(api.home):
        register(writer(tmp_path_factory.mktemp("package") / "writer"), name="writer")
        register(shades(tmp_path_factory.mktemp("package") / "shades"), name="shades")
    with api:
        yield api


@pytest.fixture(autouse=True)
def nothing_is_left(api: ApiProcess) -> Iterator[None]:
    """Check before and after that the model responds and connections are closed."""
    answers(api)
    before = connections_of(api)
    yield
    answers(api)
    served = json.loads(api.request("GET", "/predict")[2])["data"][0]
    assert served["serving"]["waiting"] == 0
    assert comes_true(lambda: connections_of(api) <= before)


def comes_true(condition: Callable[[], bool], *, within_seconds: float = WITHIN_SECONDS) -> bool:
    deadline = time.monotonic() + within_seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def connections_of(api: ApiProcess) -> int:
    """Count the open sockets of the process; its open files vary."""
    count = 0
    for path in Path(f"/proc/{api.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += str(path.readlink()).startswith("socket:")
    return count


def is_held(connection: socket.socket, api: ApiProcess) -> bool:
    """Return whether the process has the other end of this connection open."""
    ours = connection.getsockname()
    return any(connection.raddr == ours for connection in psutil.Process(api.pid).net_connections("tcp"))


def answers(api: ApiProcess) -> None:
    began = time.monotonic()
    status, _, body = api.request("POST", "/predict/shades", headers={"Content-Type": "image/png"}, body=LIGHT)
    assert status == 200, body
    assert json.loads(body)["outputs"][0]["label"] == "light"
    assert time.monotonic() - began < WITHIN_SECONDS / 2


def head(api: ApiProcess, *more: str, length: int | None = None, version: str = "1.1") -> bytes:
    lines = [f"POST /predict/shades HTTP/{version}", "Host: localhost", f"Authorization: Bearer {api.key}"]
    lines += ["Content-Type: image/png", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def whole(api: ApiProcess, image: bytes, *more: str) -> bytes:
    return head(api, *more, length=len(image)) + image


def connect(api: ApiProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=WITHIN_SECONDS)


def rest(connection: socket.socket) -> bytes:
    """Return all bytes until the other side closes."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def statuses(received: bytes) -> list[int]:
    return [int(match) for match in re.findall(rb"HTTP/1\.1 (\d+) ", received)]


def labels(received: bytes) -> list[str]:
    return [match.decode() for match in re.findall(rb'"label":"(\w+)"', received)]


def drip(connection: socket.socket, data: bytes, *, every_seconds: float) -> bytes:
    """Send one byte at a time until the other side responds; return the response."""
    connection.settimeout(every_seconds)
    began = time.monotonic()
    for start in range(len(data)):
        try:
            connection.sendall(data[start : start + 1])
            if connection.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            assert time.monotonic() - began < WITHIN_SECONDS, "the service waits forever"
        except OSError:
            break
    connection.settimeout(WITHIN_SECONDS)
    return rest(connection)


@pytest.mark.parametrize("after", [0, 1], ids=["first", "later"])
def test_a_head_that_drips_is_given_up(api: ApiProcess, after: int) -> None:
    with connect(api) as connection:
        for _ in range(after):
            connection.sendall(whole(api, DARK))
            assert statuses(connection.recv(65536)) == [200]
        assert statuses(drip(connection, head(api, "X-Long: " + "x" * 500, length=9), every_seconds=0.1)) == [408]


@pytest.mark.parametrize("more", [(), ("X-Unusual: yes",)], ids=["fast path", "route"])
def test_a_body_that_drips_is_given_up(api: ApiProcess, more: tuple[str, ...]) -> None:
    with connect(api) as connection:
        connection.sendall(head(api, *more, length=5_000))
        assert statuses(drip(connection, bytes(5_000), every_seconds=0.1)) == [408]


@pytest.mark.parametrize("more", [(), ("X-Unusual: yes",)], ids=["fast path", "route"])
def test_a_body_that_stops_halfway_is_given_up(api: ApiProcess, more: tuple[str, ...]) -> None:
    connections = [connect(api) for _ in range(20)]
    for connection in connections:
        connection.sendall(whole(api, DARK, *more)[:-10])
    answers(api)
    for connection in connections:
        assert statuses(rest(connection)) == [408]
        connection.close()


def test_a_slow_body_that_comes_in_time_is_answered(api: ApiProcess) -> None:
    with connect(api) as connection:
        message = whole(api, DARK, "Connection: close")
        for start in range(0, len(message), 40):
            connection.sendall(message[start : start + 40])
            time.sleep(0.02)
        assert labels(rest(connection)) == ["dark"]


@pytest.mark.parametrize("unusual", [set(), {1}, {0, 2}, {0, 1, 2, 3}], ids=str)
@pytest.mark.parametrize("cut", [None, 1_000, 333])
def test_requests_in_one_go_are_answered_in_their_order(api: ApiProcess, unusual: set[int], cut: int | None) -> None:
    sent = b""
    for number, image in enumerate((DARK, LIGHT, DARK, LIGHT)):
        more = [*(["X-Unusual: yes"] if number in unusual else []), *(["Connection: close"] if number == 3 else [])]
        sent += whole(api, image, *more)
    with connect(api) as connection:
        for start in range(0, len(sent), cut or len(sent)):
            connection.sendall(sent[start : start + (cut or len(sent))])
        received = rest(connection)
    assert statuses(received) == [200] * 4
    assert labels(received) == ["dark", "light", "dark", "light"]


def test_a_bad_request_between_good_ones_is_answered_in_its_turn(api: ApiProcess) -> None:
    with connect(api) as connection:
        connection.sendall(whole(api, DARK) + whole(api, b"no image") + whole(api, LIGHT, "Connection: close"))
        received = rest(connection)
    assert statuses(received) == [200, 422, 200]
    assert labels(received) == ["dark", "light"]


@pytest.mark.parametrize("pieces", [1, 7, 200])
def test_a_body_may_come_in_chunks(api: ApiProcess, pieces: int) -> None:
    sent = head(api, "Transfer-Encoding: chunked", "Connection: close")
    size = max(1, len(DARK) // pieces)
    for start in range(0, len(DARK), size):
        piece = DARK[start : start + size]
        sent += b"%x\r\n%b\r\n" % (len(piece), piece)
    with connect(api) as connection:
        connection.sendall(sent + b"0\r\n\r\n")
        assert labels(rest(connection)) == ["dark"]


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\nx\r\n", b"ffffffffffffffffff\r\n", b"5\r\nab"])
def test_chunks_that_are_none_are_refused(api: ApiProcess, body: bytes) -> None:
    with connect(api) as connection:
        connection.sendall(head(api, "Transfer-Encoding: chunked") + body)
        assert statuses(rest(connection))[-1:] in ([400], [408])


def test_a_client_that_waits_for_100_continue_gets_it(api: ApiProcess) -> None:
    with connect(api) as connection:
        connection.sendall(head(api, "Expect: 100-continue", "Connection: close", length=len(DARK)))
        assert statuses(connection.recv(65536)) == [100]
        connection.sendall(DARK)
        received = rest(connection)
    assert statuses(received) == [200]
    assert labels(received) == ["dark"]


def test_clients_that_leave_in_the_middle_of_a_batch_are_not_missed(api: ApiProcess) -> None:
    for length in (len(DARK), len(DARK) - 1, 0):
        connections = [connect(api) for _ in range(60)]
        for number, connection in enumerate(connections):
            more = ["X-Unusual: yes"] if number % 3 == 0 else []
            connection.sendall(head(api, *more, length=len(DARK)) + DARK[:length])
        for number, connection in enumerate(connections):
            if number % 2:
                # A reset, where the others only hang up.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        answers(api)


@pytest.mark.parametrize("more", [(), ("X-Unusual: yes",)], ids=["fast path", "route"])
def test_a_client_that_never_reads_is_left(api: ApiProcess, more: tuple[str, ...]) -> None:
    body = json.dumps({"inputs": [{"pixels": [[7] * SIDE] * SIDE}] * 64}).encode()
    message = head(api, *more, length=len(body)).replace(b"image/png", b"application/json") + body
    before = api.rss_bytes()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", api.port))
        connection.settimeout(TIMEOUT_SECONDS / 4)
        deadline = time.monotonic() + 5 * WITHIN_SECONDS
        while time.monotonic() < deadline:
            try:
                connection.sendall(message)
            except TimeoutError:
                continue  # The service reads no more until its responses are read, so its memory is bounded.
            except OSError:
                break
        else:
            pytest.fail("the service waits forever")
    assert api.rss_bytes() - before < 30 * 1024**2


def test_an_answer_that_nobody_fetches_does_not_keep_its_connection(api: ApiProcess) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", api.port))
        connection.sendall(
            f"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.key}\r\n\r\n".encode()
        )
        assert comes_true(lambda: is_held(connection, api)), "it was never accepted"
        assert comes_true(lambda: not is_held(connection, api), within_seconds=2 * WITHIN_SECONDS)


def test_more_than_was_announced_is_another_request_and_none_of_ours(api: ApiProcess) -> None:
    with connect(api) as connection:
        connection.sendall(whole(api, DARK) + b"and some more\r\n\r\n")
        received = rest(connection)
    assert statuses(received)[0] == 200, "the first answer is that of the first request"
    assert labels(received) == ["dark"]


@pytest.mark.parametrize(
    "lies",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 6"],
        ["Content-Length: -5"],
        ["Content-Length: +5"],
        ["Content-Length: 5x"],
        ["Content-Length: 0x5"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: gzip, chunked, identity"],
        ["Content-Length : 5"],
        [" Content-Length: 5"],
        ["Content-Length: 5\n Content-Length: 6"],
    ],
    ids=str,
)
def test_a_length_that_can_be_read_in_two_ways_is_refused(api: ApiProcess, lies: list[str]) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(api) as connection:
        connection.sendall(head(api, *lies) + b"0\r\n\r\n" + smuggled)
        received_statuses = statuses(rest(connection))
    assert received_statuses
    assert 200 not in received_statuses, "what was hidden in the body was answered"
    assert received_statuses[-1] in (400, 408, 413)


def test_http_1_0_is_answered_and_closed(api: ApiProcess) -> None:
    with connect(api) as connection:
        connection.sendall(head(api, length=len(DARK), version="1.0") + DARK)
        received = rest(connection)
    assert labels(received) == ["dark"]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.3"])
def test_nobody_is_upgraded(api: ApiProcess, protocol: str) -> None:
    more = [f"Upgrade: {protocol}", "Connection: Upgrade", "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Version: 13"]
    with connect(api) as connection:
        connection.sendall(whole(api, DARK, *more))
        received = rest(connection)
    assert 101 not in statuses(received)
    assert len(statuses(received)) == 1


def test_heads_that_are_too_long_are_refused(api: ApiProcess) -> None:
    for size, expected in ((9_000, 200), (400_000, 431)):
        with connect(api) as connection:
            connection.sendall(whole(api, DARK, "Connection: close", "X-Long: " + "x" * size))
            assert statuses(rest(connection)) == [expected]
    with connect(api) as connection:
        connection.sendall(whole(api, DARK, *(f"X-{number}: x" for number in range(20_000))))
        assert statuses(rest(connection)) == [431]


@pytest.mark.parametrize("line", [b"\r\n\r\n", b"POST\r\n\r\n", b"POST /predict/shades HTTP/9.9\r\n\r\n", b"\0" * 99])
def test_bytes_that_are_no_request_are_refused_or_left(api: ApiProcess, line: bytes) -> None:
    with connect(api) as connection:
        connection.sendall(line)
        assert statuses(rest(connection)) in ([], [400], [408], [505])


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_to_http_1_0_there_are_no_chunks_and_the_connection_ends_the_answer(api: ApiProcess, accept: str) -> None:
    body = json.dumps({"inputs": [{"prompt": "a", "temperature": 0, "max_new_tokens": 12}]})
    headers = f"Authorization: Bearer {api.key}\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=WITHIN_SECONDS) as connection:
        # Nor need it name a host.
        connection.sendall(
            f"POST /predict/writer HTTP/1.0\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body_received = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head.lower()
    if accept == "application/json":
        assert json.loads(body_received)["model"] == "writer"
    else:
        assert body_received.startswith(b": ok\n\n")
        assert b"\r" not in body_received
        assert json.loads(body_received.rpartition(b"data: ")[2])["outputs"][0]["finish_reason"] == "length"


def test_a_stream_that_the_end_cuts_off_says_so(new_home: Callable[[], Path], tmp_path: Path) -> None:
    api = ApiProcess(new_home())
    api.environment["PLINTH_SHUTDOWN_TIMEOUT_SECONDS"] = "1"
    with homes.use_home(api.home):
        register(writer(tmp_path / "writer"), name="writer")
    body = json.dumps({"inputs": [{"prompt": "a", "temperature": 0, "max_new_tokens": 4096}]})
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {api.key}\r\nAccept: text/event-stream\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with api, ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=WITHIN_SECONDS))
            for _ in range(24)
        ]
        for connection in connections:
            connection.sendall(b"POST /predict/writer HTTP/1.1\r\n" + request)
        beginnings = [connection.recv(1024) for connection in connections]
        assert api.stop() == 0
        for begun, connection in zip(beginnings, connections, strict=True):
            received = begun + b"".join(iter(partial(connection.recv, 65536), b""))
            assert received.endswith(b"\r\n0\r\n\r\n")
            # A stream that was fast enough has the whole text.
            assert received.rpartition(b"event: ")[2].startswith((b"end", b"error"))
