"""Request bodies: limits on size and time, and strict JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request

from app.http.errors import ProblemError
from app.http.strict_json import strict_json

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message, Receive, Send

#: Time that a response waits for a client that is still sending, so that it reads the response instead of a reset.
LINGER_SECONDS: Final = 2.0
#: Minimum average rate of a body, beyond the time that a client may be idle.
MIN_BYTES_PER_SECOND: Final = 500


class Body:
    """The `receive` and `send` of one request.

    Rejects a body that is too large or too slow. Before the end of a response it reads the rest of the body.
    """

    def __init__(
        self, receive: Receive, send: Send, *, length: int | None, chunked: bool, limit_bytes: int, idle_seconds: float
    ) -> None:
        """`length` is the announced size in bytes, None without a Content-Length."""
        self._receive = receive
        self._send = send
        self._limit_bytes = limit_bytes
        self._idle_seconds = idle_seconds
        self._received_bytes = 0
        self._waited_seconds = 0.0
        self._is_arriving = chunked or bool(length)

    async def receive(self) -> Message:
        """Return the next piece.

        Raises `ProblemError` 413 above the size limit, 408 on a timeout.
        """
        if not self._is_arriving:
            return await self._receive()
        start = time.monotonic()
        try:
            async with asyncio.timeout(self._remaining_seconds()):
                message = await self._receive()
        except TimeoutError:
            detail = (
                f"The body stopped arriving for {self._idle_seconds:g} s, or came slower than "
                f"{MIN_BYTES_PER_SECOND} bytes per second. Send the request again."
            )
            raise ProblemError(408, "body_timeout", detail) from None
        self._waited_seconds += time.monotonic() - start
        self._received_bytes += len(message.get("body", b""))
        self._is_arriving = bool(message.get("more_body", False))
        if self._received_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        return message

    def _remaining_seconds(self) -> float:
        """Return the timeout of the next piece.

        The total time is limited, so that single bytes do not prolong it.
        """
        allowed = self._idle_seconds + self._received_bytes / MIN_BYTES_PER_SECOND
        return max(0.0, min(self._idle_seconds, allowed - self._waited_seconds))

    async def send(self, message: Message) -> None:
        """Send a part of the response.

        If the body is still arriving, the connection is closed after the response.
        """
        if self._is_arriving and message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        if self._is_arriving and message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while self._is_arriving:
                    self._is_arriving = bool((await self._receive()).get("more_body", False))
        except TimeoutError:
            self._is_arriving = False


def too_large(limit_bytes: int) -> ProblemError:
    """Return the error 413 for a body above the limit of its path."""
    detail = f"The body is larger than the limit of {limit_bytes} bytes for this path. Send less at once."
    return ProblemError(413, "body_too_large", detail)


class JSONRoute(APIRoute):
    """A route whose body, if it declares one, is JSON.

    Another media type is rejected with 415, a body that `strict_json` rejects with 422.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, called with a request that decodes strictly."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            if self.body_field is None:
                return await handle(request)
            require_json(request)
            return await handle(_JSONRequest(request.scope, request.receive))

        return handle_strictly


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
    """Read the whole body; raises `ProblemError` 413 above `limit_bytes`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
    return bytes(body)


def require_json(request: Request) -> None:
    """Raise `ProblemError` 415 for another media type.

    A request without a body passes: validation then lists the fields that are missing.
    """
    has_body = "content-type" in request.headers or request.headers.get("content-length", "0") != "0"
    if has_body and not is_json(request):
        content_type = request.headers.get("content-type", "no Content-Type")
        detail = f"This path reads application/json, not {content_type}. Send JSON with that Content-Type."
        raise ProblemError(415, "unsupported_media_type", detail)
