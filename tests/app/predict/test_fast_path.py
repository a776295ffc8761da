"""The fast path and the route of `/predict` give the same responses."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api_process import ApiProcess
from tests.support.factories import SIDE, png, register, shades

pytestmark = pytest.mark.process

#: A header that the fast path does not know sends a request to the route.
ROUTE = {"X-Anything": "unusual"}
VARYING_HEADERS = ("date", "x-request-id")


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api = ApiProcess(new_home())
    api.environment |= {"PLINTH_BODY_IDLE_TIMEOUT_SECONDS": "1", "PLINTH_KEEP_ALIVE_SECONDS": "2"}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PLINTH_HOME", "PLINTH_API_KEY"):
            patch.setenv(name, api.environment[name])
        for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL"):
            patch.delenv(name, raising=False)
        from tests.support.settings import forget_settings

        forget_settings()
        register(shades(tmp_path_factory.mktemp("package") / "shades"), name="shades")
        forget_settings()
        with api:
            yield api
    forget_settings()


def ask(
    api: ApiProcess, body: bytes, kind: str = "application/json", *, more: dict[str, str] | None = None
) -> tuple[int, Any, bytes]:
    headers = {"Content-Type": kind, **(more or {})}
    status, headers_received, answer = api.request("POST", "/predict/shades", headers=headers, body=body)
    return status, {name: value for name, value in headers_received.items() if name not in VARYING_HEADERS}, answer


def both(api: ApiProcess, body: bytes, kind: str = "application/json") -> tuple[Any, Any]:
    by_route = ask(api, body, kind, more=ROUTE)
    return ask(api, body, kind), by_route


def comparable(answer: tuple[int, Any, bytes]) -> Any:
    status, headers, body = answer
    parsed = json.loads(body)
    if status != 200:
        parsed.pop("request_id")
        headers = {name: value for name, value in headers.items() if name != "content-length"}
        return status, headers, parsed
    return status, headers, body


def fast_path_count(api: ApiProcess) -> float:
    text = api.request("GET", "/metrics")[2].decode()
    lines = [line for line in text.splitlines() if line.startswith("plinth_fast_path_requests_total")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_both_ways_give_the_same_response_and_the_fast_path_is_taken(api: ApiProcess) -> None:
    image = base64.b64encode(png(200)).decode()
    good = json.dumps({"inputs": [{"pixels": [[7] * SIDE] * SIDE}, {"image": image}]}).encode()
    ask(api, good)
    before = fast_path_count(api)
    fast, by_route = both(api, good)
    assert fast == by_route
    assert fast[0] == 200
    assert fast_path_count(api) > before
    fast, by_route = both(api, png(3), "image/png")
    assert fast == by_route


VALUES = st.one_of(st.integers(-1, 300), st.floats(-1, 300), st.just("x"), st.none())
INPUTS = st.one_of(
    st.builds(lambda value: {"pixels": [[value] * SIDE] * SIDE}, VALUES),
    st.builds(lambda seed: {"image": base64.b64encode(png(seed)).decode()}, st.integers(0, 255)),
    st.fixed_dictionaries(
        {}, optional={"image": st.text(max_size=8), "pixels": st.lists(st.lists(VALUES, max_size=3)), "x": VALUES}
    ),
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=3)},
    optional={"parameters": st.sampled_from([{}, {"return": "embedding"}, {"return": "x"}, {"y": 1}]), "z": VALUES},
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=REQUESTS, cut=st.sampled_from([None, None, None, -1, 5]))
def test_any_request_gets_the_same_response_both_ways(api: ApiProcess, request: Any, cut: int | None) -> None:
    fast, by_route = both(api, json.dumps(request).encode()[:cut])
    assert comparable(fast) == comparable(by_route)


def _message(api: ApiProcess, body: bytes, *, close: bool = False) -> bytes:
    head = [
        b"POST /predict/shades HTTP/1.1",
        b"Host: localhost",
        b"Authorization: Bearer " + api.key.encode(),
        b"Content-Type: image/png",
        b"Content-Length: %d" % len(body),
        *([b"Connection: close"] if close else []),
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def _read(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def test_pipelined_requests_are_answered_in_order(api: ApiProcess) -> None:
    ask(api, png(1), "image/png")
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        parts = [_message(api, png(value)) for value in (5, 250, 6)]
        connection.sendall(b"".join(parts) + _message(api, png(251), close=True))
        answers = _read(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    places = [answers.find(label) for label in (b'"label":"dark"', b'"label":"light"')]
    assert -1 < places[0] < places[1]


def test_a_body_may_come_in_pieces_and_a_client_may_leave(api: ApiProcess) -> None:
    ask(api, png(1), "image/png")
    message = _message(api, png(5), close=True)
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        for start in range(0, len(message), 20):
            connection.sendall(message[start : start + 20])
            time.sleep(0.001)
        assert b"200 OK" in _read(connection)
    for length in (len(message) - 5, len(message)):
        with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
            connection.sendall(message[:length])
    assert ask(api, png(5), "image/png")[0] == 200


def test_a_body_that_does_not_arrive_times_out_as_on_the_route(api: ApiProcess) -> None:
    ask(api, png(1), "image/png")
    before = fast_path_count(api)
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.sendall(_message(api, png(5))[:-5])
        answer = _read(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in answer
    assert fast_path_count(api) == before


def test_a_body_that_arrives_after_its_head_still_takes_the_fast_path(api: ApiProcess) -> None:
    ask(api, png(1), "image/png")
    before = fast_path_count(api)
    message = _message(api, png(5), close=True)
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(message[:-40])
        time.sleep(0.1)
        connection.sendall(message[-40:])
        assert b"200 OK" in _read(connection)
    assert fast_path_count(api) == before + 1


@pytest.mark.parametrize("charset", ["; charset=utf-8", ";charset=UTF-8", "; Charset=Utf-8"])
def test_a_utf_8_charset_is_usual(api: ApiProcess, charset: str) -> None:
    body = json.dumps({"inputs": [{"pixels": [[5] * SIDE] * SIDE}]}).encode()
    assert ask(api, body)[0] == 200
    before = fast_path_count(api)
    assert ask(api, body, f"application/json{charset}")[0] == 200
    assert fast_path_count(api) == before + 1
    assert ask(api, body, "application/json; charset=latin-1")[0] == 415


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b" folded",
        b"Host: elsewhere.example",
        b"Expect: 100-continue",
        b"Content-Length : 4",
        b"X-Request-Id:  two spaces",
        b"Connection: upgrade",
    ],
)
def test_an_ambiguous_head_is_left_to_the_parser(api: ApiProcess, line: bytes) -> None:
    ask(api, png(1), "image/png")
    before = fast_path_count(api)
    head, _, body = _message(api, png(5), close=True).partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.sendall(head + b"\r\n" + line + b"\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        _read(connection)
    assert fast_path_count(api) == before


def test_a_connection_is_closed_only_after_it_was_idle(api: ApiProcess) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        for _ in range(5):
            connection.sendall(_message(api, png(5)))
            # The route writes head and body separately.
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 200
            answer.read()
            time.sleep(0.6)
        began = time.monotonic()
        assert connection.recv(65536) == b""
    assert time.monotonic() - began < 4


def test_a_moved_alias_is_followed_without_one_failed_answer(api: ApiProcess, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from tests.support.settings import forget_settings

        patch.setenv("PLINTH_HOME", api.environment["PLINTH_HOME"])
        forget_settings()
        register(shades(tmp_path / "again"), name="shades")
        forget_settings()
    stop = time.monotonic() + 3

    def caller(_: int) -> list[tuple[int, int]]:
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
        headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "image/png"}
        seen = []
        while time.monotonic() < stop:
            connection.request("POST", "/predict/shades", png(9), headers)
            answer = connection.getresponse()
            seen.append((answer.status, json.loads(answer.read())["version"]))
        connection.close()
        return seen

    alias = "/api/v1/models/shades/aliases/production"
    with ThreadPoolExecutor(64) as pool:
        callers = [pool.submit(caller, number) for number in range(64)]
        # The moves to another version also end the split of the alias, under way.
        for path, body in (
            (alias, {"version": 1}),
            (f"{alias}/split", {"version": 2, "weight": 0.5}),
            (alias, {"version": 2}),
            (alias, {"version": 1}),
        ):
            time.sleep(0.6)
            headers = {"Content-Type": "application/json"}
            status, _, answer = api.request("PUT", path, headers=headers, body=json.dumps(body).encode())
            assert status == 200, answer
        seen = [entry for call in callers for entry in call.result()]
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {1, 2}


def test_a_watched_model_keeps_the_fast_path_and_is_recorded(api: ApiProcess) -> None:
    def state() -> Any:
        return json.loads(api.request("GET", "/api/v1/models/shades/watch")[2])["state"]

    body = json.dumps({"keep": "rows", "fraction": 1}).encode()
    status, *_ = api.request(
        "PUT", "/api/v1/models/shades/watch", headers={"Content-Type": "application/json"}, body=body
    )
    assert status == 200
    try:
        time.sleep(0.6)  # until the watch of the cached name is known
        ask(api, png(9), "image/png")
        before = fast_path_count(api)
        ask(api, png(9), "image/png", more={"X-Request-Id": "recorded-one"})
        assert fast_path_count(api) == before + 1
        deadline = time.monotonic() + 10
        while state()["records"] < 1 or not any(row["requests"] for row in state()["versions"]):
            assert time.monotonic() < deadline, state()
            time.sleep(0.05)
    finally:
        assert api.request("DELETE", "/api/v1/models/shades/watch")[0] == 204


def test_both_ways_refuse_a_key_that_is_for_other_models(api: ApiProcess) -> None:
    body = json.dumps({"inputs": [{"pixels": [[7] * SIDE] * SIDE}]}).encode()

    def key(**options: Any) -> dict[str, str]:
        content = json.dumps({"name": "tests", "scope": "predict", **options}).encode()
        headers = {"Content-Type": "application/json"}
        return json.loads(api.request("POST", "/api/v1/keys", headers=headers, body=content)[2])["secret"]

    for patterns, status in ((["other*"], 403), (["shad*"], 200)):
        more = {"Authorization": f"Bearer {key(models=patterns)}"}
        before = fast_path_count(api)
        answers = [ask(api, body, more=more | route) for route in (ROUTE, {}, {})]
        assert [answer[0] for answer in answers] == [status] * 3
        assert comparable(answers[0]) == comparable(answers[1]) == comparable(answers[2])
        assert fast_path_count(api) == before, "the gateway alone judges such a key"


def test_a_key_with_a_rate_is_counted_on_both_ways(api: ApiProcess) -> None:
    body = json.dumps({"inputs": [{"pixels": [[7] * SIDE] * SIDE}]}).encode()
    content = json.dumps({"name": "tests", "scope": "predict", "requests_per_minute": 3}).encode()
    headers = {"Content-Type": "application/json"}
    secret = json.loads(api.request("POST", "/api/v1/keys", headers=headers, body=content)[2])["secret"]
    more = {"Authorization": f"Bearer {secret}"}
    answers = [ask(api, body, more=more | route) for route in ({}, ROUTE, {}, ROUTE, {})]
    assert [answer[0] for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer[1]["ratelimit"].partition(";t")[0] for answer in answers[:3]] == [
        f'"key";r={left}' for left in (2, 1, 0)
    ]
