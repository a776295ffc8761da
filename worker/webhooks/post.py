"""POST requests to addresses that users choose.

The address that a name resolves to is checked, and the connection goes to exactly that address, so that a name cannot
mean another one meanwhile. Redirects are not followed, and the body of the response is not read.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final

from store.webhooks.addresses import endpoint_of, is_allowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from store.settings import IPNetwork

#: Time for the connection, and for each further step.
STEP_SECONDS: Final = 10.0
#: Time for the whole request, however slowly the receiver writes.
TOTAL_SECONDS: Final = 20.0


class PostFailed(Exception):
    """A request that got no response; the message is the reason."""


@dataclass(frozen=True, slots=True)
class PostResponse:
    """Status of a response, and the seconds that it asks to wait."""

    status: int
    wait_seconds: float = 0.0


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, networks: Sequence[IPNetwork], seconds: float = TOTAL_SECONDS
) -> PostResponse:
    """Send a body to a URL; raises `PostFailed` without a response.

    `networks` are private ones that may be reached.
    """
    scheme, host, port, target = endpoint_of(url)
    kind = _TlsConnection if scheme == "https" else _PlainConnection
    connection = kind(host, port, timeout=STEP_SECONDS)
    connection.networks, connection.deadline = networks, time.monotonic() + seconds
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        # The thread that waits for the socket gets an error.
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", target, body=body, headers=dict(headers))
        response = connection.getresponse()
        return PostResponse(response.status, _seconds(response.headers.get("Retry-After", "")))
    except (OSError, HTTPException, ValueError) as error:
        if is_late.is_set() or isinstance(error, TimeoutError):
            raise PostFailed(f"no response within {seconds:g} s; respond first, then process the event") from error
        raise PostFailed(_reason(error)) from error
    finally:
        timer.cancel()
        connection.close()


class _PlainConnection(HTTPConnection):
    """A connection to an address that is allowed."""

    networks: Sequence[IPNetwork] = ()
    #: Monotonic time at which the request ends. Before there is a socket, nothing else would end it.
    deadline: float = math.inf

    def connect(self) -> None:
        self.sock = _connect(self.host, self.port, self.deadline, self.networks)
        _remaining_seconds(self.deadline)


class _TlsConnection(HTTPSConnection):
    """The same with TLS; the certificate is verified for the name, not for the address."""

    networks: Sequence[IPNetwork] = ()
    deadline: float = math.inf

    def connect(self) -> None:
        plain = _connect(self.host, self.port, self.deadline, self.networks)
        try:
            self.sock = _tls_context().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        _remaining_seconds(self.deadline)


def _remaining_seconds(deadline: float) -> float:
    """Return the time until the deadline; raises `TimeoutError` after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connect(host: str, port: int, deadline: float, networks: Sequence[IPNetwork]) -> socket.socket:
    """Connect to a host, all of whose addresses must be allowed."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in infos:
        if not is_allowed(str(address[0]), networks):
            raise PostFailed(
                f"{host} resolves to {address[0]}, which is not a public address; add its network to "
                "PLINTH_WEBHOOK_ALLOWED_NETWORKS"
            )
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in infos:
        seconds = _remaining_seconds(deadline)
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(min(STEP_SECONDS, seconds))
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _reason(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return f"the host cannot be resolved: {error.strerror}"
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid: {error.verify_message}"
        case OSError() if error.strerror:
            return error.strerror
    return f"{type(error).__name__}: {error}"[:200]


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) < 10 else 0.0
