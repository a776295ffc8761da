"""A real HTTP server that receives webhooks."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.http_receiver import HttpReceiver, QuietHandler


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebhookReceiver(HttpReceiver):
    """Records requests, and responds as `respond` says: status, and headers."""

    respond: Callable[[int], tuple[int, dict[str, str]]] = lambda number: (204, {})
    #: Seconds between two bytes of a response that never ends; None for usual responses.
    drip_seconds: float | None = None
    requests: list[Received] = field(default_factory=list)

    def make_handler(self) -> type[QuietHandler]:
        """Return the class that responds to requests."""
        receiver = self

        class Handler(QuietHandler, BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append(Received(self.path, headers, body))
                if receiver.drip_seconds is not None:
                    self._drip(receiver.drip_seconds)
                    return
                status, more = receiver.respond(len(receiver.requests))
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def _drip(self, seconds: float) -> None:
                try:
                    while True:
                        self.wfile.write(b"H")
                        self.wfile.flush()
                        time.sleep(seconds)
                except OSError:
                    self.close_connection = True

        return Handler

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self.origin}/events"
