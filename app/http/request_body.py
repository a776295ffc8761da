"""The request body: counted while it arrives, never waited for without end, and JSON only where JSON is meant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute
from starlette.requests import Request

from app.http.errors import ProblemError
from app.http.strict_json import strict_json

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message, Receive, Send

LINGER_SECONDS = 2.0
"""How long an answer waits for a client that is still sending, so that it reads the answer and not a reset."""

SLOWEST_BYTES_PER_SECOND = 500
"""On average, beyond the time that a client may be silent anyway: a tenth of a modem of old."""


class Body:
    """One request's `receive` and `send`: refuses what is too large or too slow, reads off what nobody read."""

    def __init__(
        self, receive: Receive, send: Send, *, length: int | None, chunked: bool, limit_bytes: int, idle_seconds: float
    ) -> None:
        self._receive = receive
        self._send = send
        self._limit_bytes = limit_bytes
        self._idle_seconds = idle_seconds
        self._received_bytes = 0
        self._waited_seconds = 0.0
        self._arrives = chunked or bool(length)

    async def receive(self) -> Message:
        """The next piece; raises `ProblemError` 413 past the limit and 408 when the client falls silent."""
        if not self._arrives:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience()):
                message = await self._receive()
        except TimeoutError:
            slow = f"it came with less than {SLOWEST_BYTES_PER_SECOND} bytes a second"
            detail = f"Nothing more of the body came for {self._idle_seconds:g} s, or {slow}. Send it again."
            raise ProblemError(408, "body_timeout", detail) from None
        self._waited_seconds += time.monotonic() - began
        self._received_bytes += len(message.get("body", b""))
        self._arrives = bool(message.get("more_body", False))
        if self._received_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        return message

    def _patience(self) -> float:
        """Seconds until the next piece: a client that sends a byte now and then is not waited for for ever."""
        allowed = self._idle_seconds + self._received_bytes / SLOWEST_BYTES_PER_SECOND
        return max(0.0, min(self._idle_seconds, allowed - self._waited_seconds))

    async def send(self, message: Message) -> None:
        """Pass an answer on; while the body is still arriving, the connection ends with it."""
        if self._arrives and message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        if self._arrives and message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._read_off()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _read_off(self) -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self._arrives:
                    self._arrives = bool((await self._receive()).get("more_body", False))
        except TimeoutError:
            self._arrives = False


def too_large(limit_bytes: int) -> ProblemError:
    """413, with the limit named."""
    return ProblemError(
        413, "body_too_large", f"The body is larger than the limit of {limit_bytes} bytes for this path."
    )


class JSONRoute(APIRoute):
    """A route whose body, if it declares one, is JSON: another type is 415, what JSON cannot say is 422."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, given a stricter request."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if self.body_field is None:
                return await handle(request)
            refuse_unless_json(request)
            return await handle(_JSONRequest(request.scope, request.receive))

        return strict


class _JSONRequest(Request):
    async def json(self) -> Any:
        return strict_json(await self.body())


def is_json(request: Request) -> bool:
    """Return whether the Content-Type of the body is JSON."""
    return is_json_type(request.headers.get("content-type", ""))


def is_json_type(content_type: str) -> bool:
    """Return whether a Content-Type is `application/json` or `application/*+json`."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """Read the whole body, up to `limit_bytes`; raises `ProblemError` 413 beyond it."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
    return bytes(body)


def refuse_unless_json(request: Request) -> None:
    """Raises `ProblemError` 415; a request without any body passes, and is told which fields it lacks."""
    has_body = "content-type" in request.headers or request.headers.get("content-length", "0") != "0"
    if has_body and not is_json(request):
        found = request.headers.get("content-type", "no Content-Type")
        raise ProblemError(415, "unsupported_media_type", f"This path reads application/json, not {found}.")
