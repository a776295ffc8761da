"""Requests of web pages from other origins, which `PLINTH_CORS_ORIGINS` allows (the Fetch standard's CORS protocol).

Pages send their key in `Authorization`, never in cookies; therefore no response allows credentials.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from app.http.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.datastructures import Headers, MutableHeaders

ANY_ORIGIN: Final = "*"
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
#: Headers that scripts of other origins may read, beside those that every script may.
EXPOSED_HEADERS: Final = (
    "Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-Range, ETag, Idempotent-Replayed, Location, "
    "RateLimit, RateLimit-Policy, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, "
    "Tus-Version, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, WWW-Authenticate, X-Request-Id, "
    "X-Truncated"
)
#: Time that a browser may remember the response to a preflight.
MAX_AGE_SECONDS: Final = 600
MAX_SHOWN_CHARACTERS: Final = 100


def is_preflight(method: str, headers: Headers) -> bool:
    """Return whether a browser asks for permission to send a request.

    It sends no key with that.
    """
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def allows(origins: Collection[str], origin: str) -> bool:
    """Return whether pages of an origin may send requests."""
    return origin in origins or (ANY_ORIGIN in origins and bool(origin))


def preflight_response(origins: Collection[str], headers: Headers) -> Response:
    """Return the response to a preflight of an allowed origin; raises `ProblemError` 403 for another."""
    origin = headers["origin"]
    if not allows(origins, origin):
        shown = origin[:MAX_SHOWN_CHARACTERS]
        detail = (
            f"Pages of the origin {shown!r} may not send requests to this service. Add it to PLINTH_CORS_ORIGINS, "
            "and restart the API."
        )
        raise ProblemError(HTTPStatus.FORBIDDEN, "origin_not_allowed", detail)
    permission = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        "Vary": "Access-Control-Request-Headers",
    }
    if requested := headers.get("access-control-request-headers"):
        permission["Access-Control-Allow-Headers"] = requested
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=permission)


def add_headers(origins: Collection[str], origin: str, headers: MutableHeaders) -> None:
    """Add the headers with which a browser passes a response on to a page."""
    if not origins or not origin:
        return
    if ANY_ORIGIN not in origins:
        vary = headers.get("vary")
        headers["vary"] = f"{vary}, Origin" if vary else "Origin"
    if allows(origins, origin):
        headers["access-control-allow-origin"] = ANY_ORIGIN if ANY_ORIGIN in origins else origin
        headers["access-control-expose-headers"] = EXPOSED_HEADERS
