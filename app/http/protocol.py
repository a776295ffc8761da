"""uvicorn, with what it lacks: deadlines for slow clients, large bodies without copies, an end streams cannot delay."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

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

LARGEST_HEADER_BYTES = 64 * 1024
LARGE_BODY_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
TICK_SECONDS = 0.1
"""Of uvicorn's main loop."""


class DeadlineProtocol(HttpToolsProtocol):
    """Closes a connection whose headers do not arrive in time, or do not end; uvicorn itself would wait for ever."""

    header_timeout_seconds = 10.0

    large_body: BodyBuffer | None = None
    """There while what comes is the rest of a large body, which goes past the parser."""
    _body_left = 0
    """Bytes of a body of announced size that have not come yet."""
    between_messages = True
    """Whether the next byte, if it goes to the parser, begins a request."""
    _deadline: asyncio.TimerHandle | None = None
    _awaits_headers = True
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """The first request's time begins now."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the end of the headers; after it, see whether the parser is needed any more."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._awaits_headers:
            self._header_bytes += len(data)
            if self._header_bytes > LARGEST_HEADER_BYTES:
                self._refuse(
                    ProblemError(431, "headers_too_large", f"The headers exceed {LARGEST_HEADER_BYTES} bytes.")
                )
        elif self._body_left >= LARGE_BODY_BYTES:
            self.large_body = BodyBuffer(self.cycle, left=self._body_left)

    def large_body_received(self, count: int) -> None:
        """The same for what goes past the parser, which is given the next request again."""
        assert self.large_body is not None, "called only while there is one"
        self.large_body.add(count)
        if self.large_body.left == 0:
            self.large_body, self._body_left, self.between_messages = None, 0, True
            self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """A further request on a connection that was kept alive."""
        super().on_message_begin()
        self.between_messages = False
        if not self._awaits_headers:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """From here on the body's own timeout holds."""
        self._stop_waiting()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0":
            self.cycle.send = _without_chunks(self.cycle)  # type: ignore[assignment,method-assign]  # nobody has called it yet
        announced = dict(self.headers).get(b"content-length", b"0")
        self._body_left = 0 if self.parser.should_upgrade() else int(announced)

    def on_body(self, body: bytes) -> None:
        """Hand a piece that comes alone on as it is: uvicorn copies it twice, which an upload feels."""
        self._body_left -= len(body)
        if self.cycle.body or self.cycle.response_complete:
            super().on_body(body)
            return
        self.cycle.body = body  # type: ignore[assignment]  # it is only added to, measured, and read once
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """All of it."""
        self.between_messages = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets a problem document as well."""
        self._refuse(ProblemError(400, "invalid_http", msg))

    def _expect_headers(self) -> None:
        self._awaits_headers, self._header_bytes = True, 0
        self._deadline = self.loop.call_later(self.header_timeout_seconds, self._too_late)

    def _stop_waiting(self) -> None:
        self._awaits_headers = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self._header_bytes:
            self._refuse(
                ProblemError(408, "headers_timeout", f"The headers took over {self.header_timeout_seconds:g} s.")
            )
        else:
            self.transport.close()

    def _refuse(self, refused: ProblemError) -> None:
        """Say so and close; while another request is being answered, close after that and say nothing."""
        if (
            self.cycle is not None
            and not self.cycle.response_complete
            and (self._awaits_headers or self.between_messages)
        ):
            self._stop_waiting()
            self.flow.pause_reading()
            self.cycle.keep_alive = False
            return
        response = problem_response("", refused)
        head = response_head(refused.status_code, header_lines(response.raw_headers), b"connection: close\r\n")
        self.transport.write(head + bytes(response.body))
        self.transport.close()


class _Flow(FlowControl):
    """Reads no further while a request waits for the one before it; uvicorn's takes in as many as are sent."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Unless something waits; the next that is begun asks again."""
        if not self._pipeline:
            super().resume_reading()


def _without_chunks(cycle: RequestResponseCycle) -> ASGISendCallable:
    """Of an answer whose length is not known, HTTP/1.0 knows no chunks: it ends with the connection."""
    send = cycle.send

    async def plain(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            cycle.expected_content_length = min(cycle.expected_content_length, len(message.get("body", b"")))
        await send(message)

    return plain


class Connection(asyncio.BufferedProtocol):
    """Says where the socket writes what it reads: into a buffer for the parser, or right into a large body."""

    reading = memoryview(bytearray(READ_BYTES))
    """For the parser; one for all connections of a server, since what was read is parsed before anything else is."""
    http_type: type[DeadlineProtocol] = DeadlineProtocol

    def __init__(self, **options: Any) -> None:  # uvicorn's, passed on
        self._http = self.http_type(**options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on."""
        self._http.connection_made(transport)  # type: ignore[arg-type]  # of a socket: it reads and writes

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on."""
        self._http.connection_lost(exc)

    def eof_received(self) -> None:
        """Pass on."""
        self._http.eof_received()

    def pause_writing(self) -> None:
        """Pass on."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        self._http.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the event loop passes it
        """Where the next bytes go."""
        body = self._http.large_body
        return self.reading if body is None else body.room()

    def buffer_updated(self, nbytes: int) -> None:
        """So many came."""
        if self._http.large_body is None:
            self._http.data_received(bytes(self.reading[:nbytes]))
        else:
            self._http.large_body_received(nbytes)


class Server(uvicorn.Server):
    """Tells the application first that it ends, so that streams say goodbye; then gives the rest a limited time.

    Hangs up on clients that do not read what they asked for.
    """

    def __init__(self, config: uvicorn.Config, *, stopping: asyncio.Event, unread_seconds: float) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._unread_ticks = max(1, round(unread_seconds / TICK_SECONDS))
        self._unread: dict[asyncio.Transport, int] = {}
        """Bytes that each connection had not taken at the last look."""

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's own, and now and then a look at who has taken nothing since the last one."""
        if counter % self._unread_ticks == 0:
            before, self._unread = self._unread, {}
            for connection in list(self.server_state.connections):
                transport = connection.transport
                size = transport.get_write_buffer_size()
                if size and size == before.get(transport):
                    transport.abort()
                elif size:
                    self._unread[transport] = size
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in time, whatever a thread still waits for."""
        last_resort = threading.Timer((self.config.timeout_graceful_shutdown or 0) + 0.7, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        self._stopping.set()
        await super().shutdown(sockets)


def make_server(
    app: FastAPI, settings: AppSettings, *, speaks: type[DeadlineProtocol] = DeadlineProtocol, **shared: Any
) -> Server:
    """A server that only has to be run; its connections speak `speaks`, which finds what is `shared` in itself."""
    http = type("Protocol", (speaks,), {"header_timeout_seconds": settings.header_timeout_seconds, **shared})
    protocol: Any = type("Connection", (Connection,), {"http_type": http, "reading": memoryview(bytearray(READ_BYTES))})
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )
    return Server(config, stopping=app.state.stopping, unread_seconds=settings.unread_timeout_seconds)
