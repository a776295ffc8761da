"""The short way through `/predict`: from the bytes of a socket to the model's queue and back, without a task between.

It takes what is usual: a plainly written head, a small body whose length is known, a model that is loaded, a key that
was looked up of late. Whatever else there is, whatever is wrong with a request too, goes to the parser from its first
byte and the ordinary way from there, so that there is one place that says no. What both answer is the same, byte for
byte.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from app.http.errors import ProblemError, problem_response, to_problem_error
from app.http.middleware import RESPONSE_HEADERS, choose_request_id
from app.http.protocol import DeadlineProtocol
from app.predict.answers import prediction_json
from app.serving.batcher import PendingRequest, QueueFull
from app.serving.model_pool import SMALL_BYTES
from ml.errors import InputError

if TYPE_CHECKING:
    import asyncio

    from app.http.middleware import GatewayMiddleware
    from app.serving.model_pool import LoadedModel, PredictService

ROUTE: Final = "/predict/{model}"
START: Final = b"POST /predict/"
MOST_HEAD_BYTES: Final = 8 * 1024
END_OF_HEAD: Final = b"\r\n\r\n"
HEADS_KEPT: Final = 256
LAST_LOOK_SECONDS: Final = 0.02
GATHER_SECONDS: Final = 1.0
"""A body that takes longer to come is left to the ordinary way, which is patient and says when it no longer is."""
HEAD: Final = re.compile(
    rb"POST /predict/([A-Za-z0-9._@-]++) HTTP/1\.1\r\n((?:[A-Za-z0-9-]++: (?! )[ -~]*+(?<! )\r\n)++)\r\n"
)
"""A head as nearly every client writes it (RFC 9112): a subset that cannot be read in two ways; the rest is parsed."""
FIELD: Final = re.compile(rb"([^:]++): ([^\r]*+)\r\n")
JSON: Final = b"application/json"
UTF_8: Final = b";charset=utf-8"
THINGS: Final = (b"image/", b"audio/", b"text/plain")
ANY_ANSWER: Final = (b"*/*", JSON)
KEEPS: Final = {b"": True, b"keep-alive": True, b"close": False}
"""`Connection` -> whether there may be another request on it."""
KNOWN: Final = frozenset(
    {b"content-type", b"content-length", b"authorization", b"host", b"accept", b"x-request-id", b"connection"}
)
HARMLESS: Final = frozenset({b"user-agent", b"accept-encoding", b"accept-language", b"cache-control"})
FIELDS: Final = frozenset({"inputs", "parameters"})

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n%b%b\r\n"
)
_STATIC: Final = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in RESPONSE_HEADERS.items())


class Head(NamedTuple):
    """What a usual head says, before any of it was looked up."""

    reference: str
    is_json: bool
    body_bytes: int
    keep_alive: bool
    host: bytes
    authorization: bytes
    request_id: str


@lru_cache(HEADS_KEPT)
def read_head(head: bytes) -> Head | None:
    """None where it is not usual. A client says much the same each time, so the last are remembered."""
    match = HEAD.fullmatch(head)
    if match is None:
        return None
    found: dict[bytes, bytes] = {}
    for written, value in FIELD.findall(match[2]):
        name = written.lower()
        if name in KNOWN and name not in found:
            found[name] = value
        elif name not in HARMLESS:
            return None
    kind, length = found.get(b"content-type", b"").lower().replace(b" ", b""), found.get(b"content-length", b"")
    kind = kind.removesuffix(UTF_8)
    if not length.isdigit() or int(length) > SMALL_BYTES or found.get(b"accept", JSON) not in ANY_ANSWER:
        return None
    if b";" in kind or (kind != JSON and not kind.startswith(THINGS)):
        return None
    keep_alive = KEEPS.get(found.get(b"connection", b"").lower())
    if keep_alive is None:
        return None
    return Head(
        reference=match[1].decode("ascii"),
        is_json=kind == JSON,
        body_bytes=int(length),
        keep_alive=keep_alive,
        host=found.get(b"host", b""),
        authorization=found.get(b"authorization", b""),
        request_id=found.get(b"x-request-id", b"").decode("ascii"),
    )


class Admitted(NamedTuple):
    """A request that may go the short way, as far as its head tells."""

    loaded: LoadedModel
    is_json: bool
    request_id: str
    key_id: str
    keep_alive: bool
    body_start: int
    end: int
    """Bytes of the whole request."""


class FastPath:
    """What the connections share."""

    def __init__(self, *, runtime: PredictService, gate: GatewayMiddleware) -> None:
        self.runtime = runtime
        self.gate = gate
        self._dated: tuple[list[tuple[bytes, bytes]], bytes] = [], b""

    def dated(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """uvicorn's own headers as lines; it makes a new list every second, for the date."""
        if self._dated[0] is not headers:
            self._dated = headers, b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._dated[1]

    def admit(self, data: bytes) -> Admitted | None:
        """What a request begins with; None where anything is unusual, or has to be waited for."""
        start = data.find(END_OF_HEAD, 0, MOST_HEAD_BYTES) + len(END_OF_HEAD)
        head = read_head(data[:start])
        loaded = None if head is None else self.runtime.peek(head.reference)
        if head is None or loaded is None:
            return None
        key_id = self.gate.opens_at_once(head.host, head.authorization)
        if key_id is None:
            return None
        request_id = choose_request_id(head.request_id)
        return Admitted(loaded, head.is_json, request_id, key_id, head.keep_alive, start, start + head.body_bytes)


class FastPathCycle:
    """Stands where uvicorn's cycle of request and response would; answers from the batcher's callback."""

    __slots__ = ("_admitted", "_began", "_protocol", "disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self, protocol: FastPathProtocol, admitted: Admitted) -> None:
        self._protocol = protocol
        self._admitted = admitted
        self._began = time.perf_counter()
        self.keep_alive = admitted.keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = self

    def set(self) -> None:
        """uvicorn wakes a cycle by its event; nobody sleeps here."""

    def begin(self, body: bytes) -> None:
        """Read the body and queue it; raises what the ordinary way then says in full."""
        predictor = self._admitted.loaded.predictor
        inputs, parameters = self._asked(_usual_json(body)) if self._admitted.is_json else ([body], {})
        fields = predictor.asked(parameters)
        rows = [predictor.read(each, fields) for each in inputs]
        self._admitted.loaded.batcher.submit(PendingRequest(rows, fields.wanted, self._answer, gone=self._gone))

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
        body = prediction_json(self._admitted.loaded.served, outputs)
        dated = self._protocol.fast_path.dated(self._protocol.server_state.default_headers)
        close = b"" if self.keep_alive else b"connection: close\r\n"
        request_id = self._admitted.request_id.encode("ascii")
        self._end(200, _HEAD % (dated, len(body), request_id, _STATIC, close) + body)

    def _fail(self, error: Exception | None) -> None:
        """Only the model could tell that this cannot be asked of it; or it failed, and the connection ends with it."""
        if isinstance(error, InputError):
            self._refuse(to_problem_error(error))
            return
        detail = f"Something went wrong on our side. The log holds more under request id {self._admitted.request_id}."
        self._protocol.fast_path.gate.log_failure(error, request_id=self._admitted.request_id)
        self.keep_alive = False
        self._refuse(ProblemError(500, "internal_error", detail))

    def _refuse(self, refused: ProblemError) -> None:
        response = problem_response(self._admitted.request_id, refused)
        lines = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        dated = self._protocol.fast_path.dated(self._protocol.server_state.default_headers)
        request_id = self._admitted.request_id.encode("ascii")
        close = b"" if self.keep_alive else b"connection: close\r\n"
        status = b"%d %b" % (refused.status_code, HTTPStatus(refused.status_code).phrase.encode())
        head = b"HTTP/1.1 %b\r\n%b%bx-request-id: %b\r\n%b%b\r\n" % (status, dated, lines, request_id, _STATIC, close)
        self._end(refused.status_code, head + bytes(response.body))

    def _end(self, status: int, message: bytes) -> None:
        self.response_complete = True
        admitted, protocol = self._admitted, self._protocol
        del self._admitted  # A connection that stays open must not keep a model that leaves.
        seconds = time.perf_counter() - self._began
        record = admitted.loaded.record
        record.fast_path += 1
        record.latency.note(seconds)
        protocol.fast_path.gate.note(
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
        protocol.answered()


def _usual_json(body: bytes) -> Any:
    """As `strict_json` decodes it, in a tenth of the time; raises `ValueError` for what that would refuse."""
    # To look for one byte takes a tenth of the time.
    if b"\\" in body and b"\\u0000" in body:
        raise ValueError("a NUL")
    return orjson.loads(body)


class FastPathProtocol(DeadlineProtocol):
    """Looks at what comes before the parser does.

    Leans on uvicorn's `HttpToolsProtocol`: `cycle`, `pipeline`, `flow`, `server_state`, and how idle connections end
    there (see decisions).
    """

    fast_path: FastPath
    _begun: tuple[Admitted, bytes] | None = None
    """A request whose body has not come in full, and what has."""
    _patience: asyncio.TimerHandle | None = None
    _looked = False
    """Whether the connection was idle for long enough when its timer was due."""
    _last_answer_seconds = 0.0
    """By the event loop's clock."""

    def data_received(self, data: bytes) -> None:
        """Choose the way."""
        if self._begun is not None:
            admitted, before = self._begun
            data = before + data
        else:
            found = self.fast_path.admit(data) if data.startswith(START) and self._is_free() else None
            if found is None:
                super().data_received(data)
                return
            admitted = found
        if len(data) < admitted.end:
            self._begun = admitted, data
            if self._patience is None:
                if self._deadline is not None:
                    self._stop_waiting()
                self._patience = self.loop.call_later(GATHER_SECONDS, self._hand_over)
            return
        if self._patience is not None:
            self._stop_gathering()
        if len(data) == admitted.end:
            self._take(admitted, data)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_gathering()
        super().connection_lost(exc)

    def answered(self) -> None:
        """What uvicorn does after a response. Its timer is left to run on: to set one costs as much as to parse."""
        self._last_answer_seconds = self.loop.time()
        self._looked = False
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self._let_idle(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close, unless there was an answer since the timer was set.

        Timers come before what sockets bring: where the loop was held up, a request may lie there already. So it looks
        twice.
        """
        left = self._last_answer_seconds + self.timeout_keep_alive - self.loop.time()
        if self._begun is not None or not self._is_free():
            left = self.timeout_keep_alive
        if left <= 0 and self._looked:
            super().timeout_keep_alive_handler()
            return
        self._looked = left <= 0
        self._let_idle(max(left, LAST_LOOK_SECONDS))

    def _let_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _is_free(self) -> bool:
        """No request is under way, neither read nor answered, and the client reads what it is told."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.between_messages and not self.flow.write_paused

    def _take(self, admitted: Admitted, data: bytes) -> None:
        if self._deadline is not None:
            self._stop_waiting()
        cycle = FastPathCycle(self, admitted)
        try:
            cycle.begin(data[admitted.body_start :])
        except (InputError, QueueFull, ProblemError, ValueError):
            super().data_received(data)
            return
        self.cycle = cycle  # type: ignore[assignment]  # quacks like one where uvicorn looks

    def _hand_over(self) -> None:
        """The rest does not come: the ordinary way says so in its time."""
        if self._begun is not None:
            data = self._begun[1]
            self._stop_gathering()
            super().data_received(data)

    def _stop_gathering(self) -> None:
        self._begun = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
