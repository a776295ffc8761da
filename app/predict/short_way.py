"""The short way through `/predict`: from the parser's callbacks to the model's queue and back, without a task between.

It takes what is usual: a small body whose length is known, for a model that is loaded, with a key that was looked up of
late. Whatever else there is, whatever is wrong with a request too, goes the ordinary way from its first byte, so that
there is one place that says no. What both answer is the same, byte for byte.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.auth import ANSWER_HEADERS, request_id_of
from app.errors import Refused, problem_response
from app.predict.answers import body_of
from app.predict.batching import QueueFull, Work
from app.predict.runtime import SMALL_BYTES
from app.server import DeadlineProtocol
from ml.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.auth import Gate
    from app.measures import Measures
    from app.predict.runtime import Loaded, Runtime

ROUTE: Final = "/predict/{model}"
PREFIX: Final = b"/predict/"
NAME_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@")
JSON: Final = b"application/json"
THINGS: Final = (b"image/", b"audio/", b"text/plain")
ANY_ANSWER: Final = (b"*/*", JSON)
KNOWN: Final = frozenset({b"content-type", b"content-length", b"authorization", b"host", b"accept", b"x-request-id"})
HARMLESS: Final = frozenset({b"user-agent", b"accept-encoding", b"connection", b"accept-language", b"cache-control"})
FIELDS: Final = frozenset({"inputs", "parameters"})

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n%b%b\r\n"
)
_STATIC: Final = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in ANSWER_HEADERS.items())


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may go the short way, as far as its headers tell."""

    loaded: Loaded
    is_json: bool
    request_id: str
    key_id: str


class ShortWay:
    """What the connections share."""

    def __init__(self, *, runtime: Runtime, gate: Gate, measures: Measures) -> None:
        self.runtime = runtime
        self.gate = gate
        self.measures = measures

    def admit(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Admitted | None:
        """None where anything is unusual, or has to be waited for."""
        reference = url[len(PREFIX) :]
        if not NAME_BYTES.issuperset(reference):
            return None
        loaded = self.runtime.at_hand(reference.decode("ascii"))
        if loaded is None:
            return None
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in KNOWN and name not in found:
                found[name] = value
            elif name not in HARMLESS:
                return None
        kind, length = found.get(b"content-type", b""), found.get(b"content-length", b"")
        if not length.isdigit() or int(length) > SMALL_BYTES or found.get(b"accept", JSON) not in ANY_ANSWER:
            return None
        if kind != JSON and not kind.startswith(THINGS):
            return None
        key_id = self.gate.opens_at_once(found.get(b"host", b""), found.get(b"authorization", b""))
        if key_id is None:
            return None
        return Admitted(loaded, kind == JSON, request_id_of(found.get(b"x-request-id", b"").decode("latin-1")), key_id)


class ShortCycle:
    """Stands where uvicorn's cycle of request and response would; answers from the batcher's callback."""

    __slots__ = (
        "_admitted",
        "_began",
        "_pieces",
        "_protocol",
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
    )

    def __init__(self, protocol: ShortWayProtocol, admitted: Admitted) -> None:
        self._protocol = protocol
        self._admitted = admitted
        self._began = time.perf_counter()
        self._pieces: list[bytes] = []
        self.body = bytearray()
        self.more_body = True
        self.keep_alive = protocol.parser.should_keep_alive()
        self.response_complete = False
        self.disconnected = False
        self.message_event = self

    def set(self) -> None:
        """uvicorn wakes a cycle by its event; nobody sleeps here."""

    def add(self, piece: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(piece)

    def complete(self) -> None:
        """The body is there: read it and queue it, or leave it to the ordinary way."""
        body = b"".join(self._pieces)
        try:
            work = self._work(body)
            self._admitted.loaded.batcher.submit(work)
        except (InputError, QueueFull, Refused, ValueError):
            self._protocol.go_the_ordinary_way(body)

    def _work(self, body: bytes) -> Work:
        predictor = self._admitted.loaded.predictor
        inputs, parameters = self._asked(_usual_json(body)) if self._admitted.is_json else ([body], {})
        fields = predictor.asked(parameters)
        rows = [predictor.read(each, fields) for each in inputs]
        return Work(rows, fields.wanted, self._answer, gone=self._gone)

    def _asked(self, asked: Any) -> tuple[list[Any], dict[str, Any]]:
        """Inputs and parameters of a usual request; what is not usual, the ordinary way judges."""
        if isinstance(asked, dict) and asked.keys() <= FIELDS:
            inputs, parameters = asked.get("inputs"), asked.get("parameters", {})
            usual = isinstance(inputs, list) and 0 < len(inputs) <= self._admitted.loaded.batcher.most_rows
            if inputs and usual and isinstance(parameters, dict) and all(isinstance(each, dict) for each in inputs):
                return inputs, parameters
        raise ValueError("not a usual request")

    def _gone(self) -> bool:
        return self.disconnected

    def _answer(self, outputs: list[dict[str, Any]] | None, error: Exception | None) -> None:
        if outputs is None:
            self._fail(error)
            return
        body = body_of(self._admitted.loaded.served, outputs)
        dated = b"".join(b"%b: %b\r\n" % header for header in self._protocol.server_state.default_headers)
        close = b"" if self.keep_alive else b"connection: close\r\n"
        request_id = self._admitted.request_id.encode("ascii")
        self._end(200, _HEAD % (dated, len(body), request_id, _STATIC, close) + body)

    def _fail(self, error: Exception | None) -> None:
        """The model itself failed; the connection ends with it."""
        detail = f"Something went wrong on our side. The log holds more under request id {self._admitted.request_id}."
        self._protocol.short_way.gate.log_failure(error, request_id=self._admitted.request_id)
        response = problem_response(self._admitted.request_id, Refused(500, "internal_error", detail))
        lines = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self.keep_alive = False
        head = b"HTTP/1.1 500 Internal Server Error\r\n%b%bconnection: close\r\n\r\n" % (lines, _STATIC)
        self._end(500, head + bytes(response.body))

    def _end(self, status: int, message: bytes) -> None:
        self.response_complete = True
        admitted, protocol = self._admitted, self._protocol
        seconds = time.perf_counter() - self._began
        protocol.short_way.measures.short_way()
        protocol.short_way.gate.note(
            method="POST",
            path=f"/predict/{admitted.loaded.served.name}",
            route=ROUTE,
            status=status,
            seconds=seconds,
            key_id=admitted.key_id,
            request_id=admitted.request_id,
        )
        if protocol.transport.is_closing():
            return
        protocol.transport.write(message)
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


def _usual_json(body: bytes) -> Any:
    """As `strict_json` decodes it, in a tenth of the time; raises `ValueError` for what that would refuse."""
    if b"\\u0000" in body:
        raise ValueError("a NUL")
    return orjson.loads(body)


class ShortWayProtocol(DeadlineProtocol):
    """Leans on uvicorn's `HttpToolsProtocol`: its callbacks, `cycle`, `pipeline` and `server_state` (see decisions)."""

    short_way: ShortWay

    def on_headers_complete(self) -> None:
        """Choose the way."""
        admitted = self._admitted()
        if admitted is None:
            super().on_headers_complete()
            return
        self._stop_waiting()
        self.cycle = ShortCycle(self, admitted)  # type: ignore[assignment]  # quacks like one where uvicorn looks

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        cycle: Any = self.cycle
        if type(cycle) is ShortCycle:
            cycle.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it."""
        cycle: Any = self.cycle
        if type(cycle) is ShortCycle:
            cycle.complete()
        else:
            super().on_message_complete()

    def go_the_ordinary_way(self, body: bytes) -> None:
        """As if nothing had been read yet; the parser still knows the request."""
        self.cycle = None  # type: ignore[assignment]  # as before the first request of a connection
        super().on_headers_complete()
        if body:
            super().on_body(body)
        super().on_message_complete()

    def _admitted(self) -> Admitted | None:
        if not self.url.startswith(PREFIX) or self.parser.get_method() != b"POST" or self.pipeline:
            return None
        if self.parser.get_http_version() != "1.1" or self.parser.should_upgrade():
            return None
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        return self.short_way.admit(self.url, self.headers)
