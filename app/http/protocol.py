"""Adds to uvicorn: deadlines for slow clients, large bodies without copies, and graceful shutdown.

Relies on internals of uvicorn: tests/app/http/test_uvicorn_internals.py names them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.http.body_buffer import BodyBuffer
from app.http.errors import ProblemError, problem_response
from app.http.response_head import header_lines, response_head

if TYPE_CHECKING:
    import socket
    from collections.abc import Sized

    from fastapi import FastAPI
    from uvicorn._types import ASGISendCallable, ASGISendEvent

    from app.settings import AppSettings

MAX_HEADER_BYTES: Final = 64 * 1024
#: Remaining size from which a body goes past the parser.
LARGE_BODY_BYTES: Final = 64 * 1024
READ_BYTES: Final = 256 * 1024
#: Interval of uvicorn's main loop.
TICK_SECONDS: Final = 0.1
#: Time that a shutdown may take beyond uvicorn's own timeout.
EXIT_MARGIN_SECONDS: Final = 0.7


class DeadlineProtocol(HttpToolsProtocol):
    """Closes connections whose headers arrive too slowly or are too long.

    uvicorn waits for them forever.
    """

    header_timeout_seconds = 10.0

    #: Set while the rest of a large body goes past the parser.
    large_body: BodyBuffer | None = None
    #: Whether the next byte for the parser begins a request.
    between_messages = True
    #: Bytes of a body of known size that have not arrived.
    _remaining_body_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _awaits_headers = True
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self.flow = _PipelineFlow(transport, self.pipeline)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data; reject long headers, and pass large bodies around the parser."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._awaits_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                detail = f"The headers exceed {MAX_HEADER_BYTES} bytes. Send fewer cookies and shorter headers."
                self._reject(ProblemError(431, "headers_too_large", detail))
        elif self._remaining_body_bytes >= LARGE_BODY_BYTES:
            self.large_body = BodyBuffer(self.cycle, remaining_bytes=self._remaining_body_bytes)

    def large_body_received(self, count: int) -> None:
        """Count bytes of a large body; after its end the parser gets the next request."""
        assert self.large_body is not None, "called only while there is one"
        self.large_body.add(count)
        if self.large_body.remaining_bytes == 0:
            self.large_body, self._remaining_body_bytes, self.between_messages = None, 0, True
            self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """Start the deadline of a further request on the same connection."""
        super().on_message_begin()
        self.between_messages = False
        if not self._awaits_headers:
            self._start_deadline()

    def on_headers_complete(self) -> None:
        """Cancel the deadline: the body has a timeout of its own."""
        self._cancel_deadline()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0":
            self.cycle.send = _without_chunks(self.cycle)  # type: ignore[assignment,method-assign]  # not called yet
        content_length = dict(self.headers).get(b"content-length", b"0")
        self._remaining_body_bytes = 0 if self.parser.should_upgrade() else int(content_length)

    def on_body(self, body: bytes) -> None:
        """Pass a piece on without uvicorn's two copies, if no other piece waits."""
        self._remaining_body_bytes -= len(body)
        if self.cycle.body or self.cycle.response_complete:
            super().on_body(body)
            return
        self.cycle.body = body  # type: ignore[assignment]  # uvicorn only adds to it, measures it, and reads it once
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note that the next byte begins a request."""
        self.between_messages = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP with a problem document."""
        self._reject(ProblemError(400, "invalid_http", f"{msg} Use http://; a proxy in front adds TLS."))

    def _start_deadline(self) -> None:
        self._awaits_headers, self._header_bytes = True, 0
        self._deadline = self.loop.call_later(self.header_timeout_seconds, self._on_deadline)

    def _cancel_deadline(self) -> None:
        self._awaits_headers = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        if self._header_bytes:
            detail = f"The headers took longer than {self.header_timeout_seconds:g} s. Send the request again."
            self._reject(ProblemError(408, "headers_timeout", detail))
        else:
            self.transport.close()

    def _reject(self, error: ProblemError) -> None:
        """Respond and close; only close if another response is in progress."""
        if (
            self.cycle is not None
            and not self.cycle.response_complete
            and (self._awaits_headers or self.between_messages)
        ):
            self._cancel_deadline()
            self.flow.pause_reading()
            self.cycle.keep_alive = False
            return
        response = problem_response("", error)
        head = response_head(error.status_code, header_lines(response.raw_headers), b"connection: close\r\n")
        self.transport.write(head + bytes(response.body))
        self.transport.close()


class _PipelineFlow(FlowControl):
    """Stops reading while a pipelined request waits.

    uvicorn's own flow control queues every request that is sent.
    """

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Resume unless a request waits; the start of the next request resumes again."""
        if not self._pipeline:
            super().resume_reading()


def _without_chunks(cycle: RequestResponseCycle) -> ASGISendCallable:
    """Return a `send` for HTTP/1.0, which has no chunks.

    A response of unknown length ends with the connection.
    """
    send = cycle.send

    async def send_plainly(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            cycle.expected_content_length = min(cycle.expected_content_length, len(message.get("body", b"")))
        await send(message)

    return send_plainly


class Connection(asyncio.BufferedProtocol):
    """Lets the socket write into a parser buffer or directly into a large body."""

    #: Buffer for the parser. All connections of a server share it: its bytes are parsed before any others are read.
    read_buffer = memoryview(bytearray(READ_BYTES))
    http_type: type[DeadlineProtocol] = DeadlineProtocol

    def __init__(self, **options: Any) -> None:
        """`options` are uvicorn's, and are passed on to the HTTP protocol."""
        self._http = self.http_type(**options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on to the HTTP protocol."""
        self._http.connection_made(transport)  # type: ignore[arg-type]  # that of a socket both reads and writes

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on to the HTTP protocol."""
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        """Pass on to the HTTP protocol."""
        self._http.eof_received()

    def pause_writing(self) -> None:
        """Pass on to the HTTP protocol."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on to the HTTP protocol."""
        self._http.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the event loop passes it
        """Return where the socket writes the next bytes."""
        body = self._http.large_body
        return self.read_buffer if body is None else body.free_space()

    def buffer_updated(self, nbytes: int) -> None:
        """Process bytes that the socket has written."""
        if self._http.large_body is None:
            self._http.data_received(bytes(self.read_buffer[:nbytes]))
        else:
            self._http.large_body_received(nbytes)


class Server(uvicorn.Server):
    """Lets streams end by themselves on shutdown, then gives requests limited time.

    Closes connections of clients that do not read their responses.
    """

    def __init__(self, config: uvicorn.Config, *, stopping: asyncio.Event, unread_seconds: float) -> None:
        """`stopping` is set when a shutdown begins; a response may stay unread for `unread_seconds`."""
        super().__init__(config)
        self._stopping = stopping
        self._unread_ticks = max(1, round(unread_seconds / TICK_SECONDS))
        #: Bytes in the write buffer of each connection at the last check.
        self._unread: dict[asyncio.Transport, int] = {}

    async def on_tick(self, counter: int) -> bool:
        """Close connections whose write buffer has not shrunk since the last check."""
        if counter % self._unread_ticks == 0:
            previous, self._unread = self._unread, {}
            for connection in list(self.server_state.connections):
                transport = connection.transport
                size = transport.get_write_buffer_size()
                if size and size == previous.get(transport):
                    transport.abort()
                elif size:
                    self._unread[transport] = size
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; exits the process if a thread delays that beyond the timeout."""
        timeout_seconds = (self.config.timeout_graceful_shutdown or 0) + EXIT_MARGIN_SECONDS
        timer = threading.Timer(timeout_seconds, os._exit, [0])
        timer.daemon = True
        timer.start()
        self._stopping.set()
        await super().shutdown(sockets)


def make_server(
    app: FastAPI, settings: AppSettings, *, protocol: type[DeadlineProtocol] = DeadlineProtocol, **attributes: Any
) -> Server:
    """Return a server that is ready to run.

    `attributes` are set on the class of its connections' `protocol`.
    """
    http = type("Protocol", (protocol,), {"header_timeout_seconds": settings.header_timeout_seconds, **attributes})
    buffer = memoryview(bytearray(READ_BYTES))
    connection: Any = type("Connection", (Connection,), {"http_type": http, "read_buffer": buffer})
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )
    return Server(config, stopping=app.state.stopping, unread_seconds=settings.unread_timeout_seconds)
