"""uvicorn, with what it lacks: deadlines for slow clients, and an end that open streams cannot delay."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import Refused, problem_response

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from app.settings import AppSettings

LARGEST_HEADER_BYTES = 64 * 1024


class DeadlineProtocol(HttpToolsProtocol):
    """Closes a connection whose headers do not arrive in time, or do not end; uvicorn itself would wait for ever."""

    header_timeout_seconds = 10.0

    _deadline: asyncio.TimerHandle | None = None
    _awaits_headers = True
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """The first request's time begins now."""
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the end of the headers."""
        super().data_received(data)
        if not self._awaits_headers or self.transport.is_closing():
            return
        self._header_bytes += len(data)
        if self._header_bytes > LARGEST_HEADER_BYTES:
            self._refuse(Refused(431, "headers_too_large", f"The headers exceed {LARGEST_HEADER_BYTES} bytes."))

    def on_message_begin(self) -> None:
        """A further request on a connection that was kept alive."""
        super().on_message_begin()
        if not self._awaits_headers:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """From here on the body's own timeout holds."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a piece that comes alone on as it is: uvicorn copies it twice, which an upload feels."""
        if self.cycle.body or self.cycle.response_complete:
            super().on_body(body)
            return
        self.cycle.body = body  # type: ignore[assignment]  # it is only added to, measured, and read once
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets a problem document as well."""
        self._refuse(Refused(400, "invalid_http", msg))

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
            self._refuse(Refused(408, "headers_timeout", f"The headers took over {self.header_timeout_seconds:g} s."))
        else:
            self.transport.close()

    def _refuse(self, refused: Refused) -> None:
        response = problem_response("", refused)
        lines = [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
        head = [STATUS_LINE[refused.status_code], *lines, b"connection: close\r\n\r\n"]
        self.transport.write(b"".join([*head, bytes(response.body)]))
        self.transport.close()


class Server(uvicorn.Server):
    """Tells the application first that it ends, so that streams say goodbye; then gives the rest a limited time."""

    def __init__(self, config: uvicorn.Config, *, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in time, whatever a thread still waits for."""
        last_resort = threading.Timer((self.config.timeout_graceful_shutdown or 0) + 0.7, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        self._stopping.set()
        await super().shutdown(sockets)


def make_server(app: FastAPI, settings: AppSettings) -> Server:
    """A server that only has to be run."""
    protocol: Any = type("Protocol", (DeadlineProtocol,), {"header_timeout_seconds": settings.header_timeout_seconds})
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
        timeout_keep_alive=30,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )
    return Server(config, stopping=app.state.stopping)
