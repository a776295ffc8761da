"""The fast path of predictions, below the HTTP parser and the framework.

It goes from the bytes of a socket to the model's queue and back, without a task in between. It takes the usual request
of `/predict`, and of the paths that other protocols add: a plainly written head, a small body of known length, a loaded
model, a recently verified key. Everything else, invalid requests included, goes from its first byte to the HTTP parser
and the route, so that requests are refused in one place only. Both ways give the same response, byte for byte.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.http.errors import ProblemError, problem_response
from app.http.middleware import RESPONSE_HEADERS, choose_request_id
from app.http.protocol import DeadlineProtocol
from app.http.response_head import header_lines, response_head
from app.predict.fast_routes import NativeRoute
from app.predict.handler import RESPONSE_TYPE
from app.predict.request_head import END_OF_HEAD, MAX_HEAD_BYTES, HeadReader
from app.serving.errors import DeadlineExceeded, QueueFull
from app.tracing import describe_prediction
from ml.errors import InputError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from app.http.middleware import GatewayMiddleware
    from app.predict.fast_routes import FastCall, FastRoute, RequestHead
    from app.predict.handler import PredictHandler, PredictInputs
    from app.serving.batcher import PendingRequest
    from app.tracing import RequestTracer

#: Delay between the two checks after which an idle connection is closed.
IDLE_CHECK_SECONDS: Final = 0.02
#: Time for a body to arrive; after that the route waits for it, which reports a timeout.
MAX_BODY_SECONDS: Final = 1.0

_SECURITY_HEADERS: Final = header_lines((name.encode(), value.encode()) for name, value in RESPONSE_HEADERS.items())
_HEADERS: Final = b"content-length: %%d\r\ncontent-type: %b\r\n" % RESPONSE_TYPE.encode()
_CLOSE: Final = b"connection: close\r\n"


class Admitted(NamedTuple):
    """A request that the fast path takes, as far as its head decides."""

    head: RequestHead
    request_id: str
    key_id: str
    body_start: int
    #: Size in bytes of the whole request.
    end: int


class FastPath:
    """State that all connections share."""

    def __init__(
        self, handler: PredictHandler, gateway: GatewayMiddleware, *, routes: Sequence[FastRoute] = ()
    ) -> None:
        """`routes` are those of other protocols than that of `/predict`."""
        self.handler = handler
        self.gateway = gateway
        self.peek = handler.service.peek
        self._heads = HeadReader([NativeRoute(handler), *routes])
        self.starts = self._heads.starts
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    def default_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Encode uvicorn's default headers.

        Cached, as uvicorn makes a new list once a second, for the date.
        """
        if self._default_headers is not headers:
            self._default_headers, self._default_lines = headers, header_lines(headers)
        return self._default_lines

    def admit(self, data: bytes) -> Admitted | None:
        """Look up the key of a request by its head.

        Return None where anything is unusual, or must be waited for.
        """
        start = data.find(END_OF_HEAD, 0, MAX_HEAD_BYTES) + len(END_OF_HEAD)
        head = self._heads.read(data[:start])
        if head is None:
            return None
        key_id = self.gateway.peek_key_id(head.host, head.authorization)
        if key_id is None:
            return None
        return Admitted(head, choose_request_id(head.request_id), key_id, start, start + head.body_bytes)


class FastPathCycle:
    """Replacement for uvicorn's cycle of request and response.

    It responds from the callback of the batcher.
    """

    __slots__ = (
        "_admitted",
        "_call",
        "_drawn",
        "_pending",
        "_protocol",
        "_start",
        "disconnected",
        "keep_alive",
        "message_event",
        "response_complete",
    )

    def __init__(self, protocol: FastPathProtocol, admitted: Admitted) -> None:
        self._protocol = protocol
        self._admitted = admitted
        self._start = time.perf_counter()
        self._call: FastCall | None = None
        #: The request, if its answer is to be recorded.
        self._drawn: PredictInputs | None = None
        self._pending: PendingRequest | None = None
        self.keep_alive = admitted.head.keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = self

    def set(self) -> None:
        """Do nothing: uvicorn sets `message_event` to wake a cycle, and this one never sleeps."""

    def submit(self, body: bytes) -> bool:
        """Parse and queue the request; False, or an error, where the route must judge it."""
        fast_path, head = self._protocol.fast_path, self._admitted.head
        head = head._replace(request_id=self._admitted.request_id)
        call = self._call = head.route.parse(head, body, fast_path.peek)
        if call is None:
            return False
        if call.watch is not None and fast_path.handler.service.recorder.draws(call.watch):
            self._drawn = call.request
        self._pending = fast_path.handler.submit(
            call.model, call.request, on_done=self._respond, is_abandoned=self._is_disconnected
        )
        return self._pending is not None

    def _is_disconnected(self) -> bool:
        return self.disconnected

    def _respond(self, outputs: list[dict[str, Any]] | None, error: Exception | None) -> None:
        handler, request_id, call = self._protocol.fast_path.handler, self._admitted.request_id, self._call
        assert call is not None, "submit has parsed it"
        # A connection that stays open must not keep a model in memory that was evicted.
        self._call = None
        if outputs is None:
            if call.watch is not None and not isinstance(error, InputError | DeadlineExceeded):
                handler.service.recorder.count(call.watch, call.model.served.version, is_error=True)
            self._refuse(call, error)
            return
        try:
            answer = call.encode(outputs)
        except Exception as encoding_error:  # logged, and answered with 500
            self._refuse(call, encoding_error)
        else:
            if isinstance(answer, bytes):
                self._send(call, 200, _HEADERS % len(answer), answer)
            else:
                self._send(call, 200, header_lines(answer.raw_headers), bytes(answer.body))
        if call.watch is not None:
            handler.record(call.watch, call.model, self._drawn, outputs, request_id)

    def _refuse(self, call: FastCall, error: Exception | None) -> None:
        admitted, path = self._admitted, self._path_of(call)
        if isinstance(error, ProblemError):
            problem = error
        else:
            problem = self._protocol.fast_path.handler.respond_error(error, path=path, request_id=admitted.request_id)
            self.keep_alive = self.keep_alive and isinstance(error, InputError)
        response = problem_response(admitted.request_id, problem, path=path)
        self._send(call, problem.status_code, header_lines(response.raw_headers), bytes(response.body))

    def _path_of(self, call: FastCall) -> str:
        """Return the path in logs; that of `/predict` has the name of the model alone."""
        head = self._admitted.head
        return f"/predict/{call.model.served.name}" if isinstance(head.route, NativeRoute) else head.path

    def _send(self, call: FastCall, status: int, headers: bytes, body: bytes) -> None:
        self.response_complete = True
        admitted, protocol = self._admitted, self._protocol
        head = response_head(
            status,
            protocol.fast_path.default_lines(protocol.server_state.default_headers),
            headers,
            b"x-request-id: %b\r\n" % admitted.request_id.encode("ascii"),
            _SECURITY_HEADERS if self.keep_alive else _SECURITY_HEADERS + _CLOSE,
        )
        seconds = time.perf_counter() - self._start
        record = call.model.record
        record.fast_path += 1
        record.latency.observe(seconds)
        protocol.fast_path.gateway.log_request(
            method="POST",
            path=self._path_of(call),
            route=admitted.head.route.template,
            status=status,
            seconds=seconds,
            key_id=admitted.key_id,
            request_id=admitted.request_id,
        )
        if protocol.fast_path.gateway.tracer is not None:
            self._trace(protocol.fast_path.gateway.tracer, call, status, seconds)
        if protocol.transport.is_closing():
            return
        protocol.transport.write(head + body)
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_fast_response()

    def _trace(self, tracer: RequestTracer, call: FastCall, status: int, seconds: float) -> None:
        admitted, pending, served = self._admitted, self._pending, call.model.served
        queue_seconds = 0.0 if pending is None else pending.queue_seconds
        inputs = len(call.request.inputs)
        tracer.record(
            route=admitted.head.route.template,
            traceparent=admitted.head.traceparent,
            status=status,
            seconds=seconds,
            key_id=admitted.key_id,
            request_id=admitted.request_id,
            attributes=describe_prediction(served.name, served.version, inputs=inputs, queue_seconds=queue_seconds),
        )


class FastPathProtocol(DeadlineProtocol):
    """Looks at received bytes before the HTTP parser does.

    It relies on internals of uvicorn's `HttpToolsProtocol`: tests/app/http/test_uvicorn_internals.py names them.
    """

    fast_path: FastPath
    #: A request whose body has not arrived in full, and its bytes so far.
    _partial: tuple[Admitted, bytes] | None = None
    _body_timer: asyncio.TimerHandle | None = None
    #: Whether the connection was idle for long enough at the last check.
    _was_idle = False
    #: Time of the last response, by the event loop's clock.
    _last_response = 0.0

    def data_received(self, data: bytes) -> None:
        """Take the fast path where possible."""
        if self._partial is not None:
            admitted, received = self._partial
            data = received + data
        else:
            candidate = (
                self.fast_path.admit(data) if data.startswith(self.fast_path.starts) and self._is_free() else None
            )
            if candidate is None:
                super().data_received(data)
                return
            admitted = candidate
        if len(data) < admitted.end:
            self._partial = admitted, data
            if self._body_timer is None:
                if self._deadline is not None:
                    self._cancel_deadline()
                self._body_timer = self.loop.call_later(MAX_BODY_SECONDS, self._give_up)
            return
        if self._body_timer is not None:
            self._forget_partial()
        if len(data) > admitted.end or not self._submit(admitted, data):
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer of the body."""
        self._forget_partial()
        super().connection_lost(exc)

    def on_fast_response(self) -> None:
        """Do what uvicorn does after a response, but leave its timer running.

        Setting a timer costs as much as parsing a request.
        """
        self._last_response = self.loop.time()
        self._was_idle = False
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self._schedule_idle_check(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection unless there was a response since the timer was set.

        Timers run before sockets are read: after a delay of the loop, a request may have arrived already. Therefore a
        connection must be idle in two checks.
        """
        remaining = self._last_response + self.timeout_keep_alive - self.loop.time()
        if self._partial is not None or not self._is_free():
            remaining = self.timeout_keep_alive
        if remaining <= 0 and self._was_idle:
            super().timeout_keep_alive_handler()
            return
        self._was_idle = remaining <= 0
        self._schedule_idle_check(max(remaining, IDLE_CHECK_SECONDS))

    def _schedule_idle_check(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _is_free(self) -> bool:
        """Return whether no request is in progress, and the client reads its responses."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and self.between_messages and not self.flow.write_paused

    def _submit(self, admitted: Admitted, data: bytes) -> bool:
        if self._deadline is not None:
            self._cancel_deadline()
        cycle = FastPathCycle(self, admitted)
        try:
            if not cycle.submit(data[admitted.body_start :]):
                return False
        except (InputError, ProblemError, QueueFull, ValueError, RecursionError):
            # The quick parser reads deeper JSON than the strict one, which refuses it.
            return False
        self.cycle = cycle  # type: ignore[assignment]  # has the attributes that uvicorn reads
        return True

    def _give_up(self) -> None:
        """Leave a body that does not arrive to the route, which reports the timeout."""
        if self._partial is not None:
            data = self._partial[1]
            self._forget_partial()
            super().data_received(data)

    def _forget_partial(self) -> None:
        self._partial = None
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
