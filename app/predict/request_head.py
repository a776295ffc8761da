"""Parsing of the heads of usual prediction requests, for the fast path."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from app.http.errors import ProblemError
from app.predict.fast_routes import RequestHead
from app.predict.handler import RESPONSE_TYPE, body_format
from app.serving.service import SMALL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from app.predict.fast_routes import FastRoute

MAX_HEAD_BYTES: Final = 8 * 1024
END_OF_HEAD: Final = b"\r\n\r\n"
MAX_CACHED_HEADS: Final = 256
#: A head as nearly every client writes it: a subset of RFC 9112 that cannot be read in two ways.
HEAD: Final = re.compile(
    rb"POST (/[A-Za-z0-9._@:/-]++) HTTP/1\.1\r\n((?:[A-Za-z0-9-]++: (?! )[ -~]*+(?<! )\r\n)++)\r\n"
)
HEADER: Final = re.compile(r"([^:]++): ([^\r]*+)\r\n")
#: Values of `Accept` that mean JSON.
ANY_TYPE: Final = ("*/*", RESPONSE_TYPE)
#: Values of `Connection`, and whether another request may follow.
KEEP_ALIVE: Final = {"": True, "keep-alive": True, "close": False}
KNOWN_HEADERS: Final = frozenset(
    {"content-type", "content-length", "authorization", "host", "accept", "x-request-id", "connection", "traceparent"}
)
IGNORED_HEADERS: Final = frozenset(
    {"user-agent", "accept-encoding", "accept-language", "cache-control", "tracestate", "baggage"}
)
#: Headers in which clients of OpenAI describe themselves.
IGNORED_PREFIX: Final = "x-stainless-"


class HeadReader:
    """Reads heads of the paths that take the fast path."""

    def __init__(self, routes: Sequence[FastRoute]) -> None:
        """Create a reader; the first route whose pattern matches is taken."""
        self._routes = routes
        #: Beginnings of requests that may have such a head.
        self.starts = tuple(dict.fromkeys(b"POST " + route.prefix for route in routes))
        #: Cached, as a client sends much the same head each time.
        self.read = lru_cache(MAX_CACHED_HEADS)(self._read)

    def _read(self, head: bytes) -> RequestHead | None:
        """Parse a head; None where it is unusual."""
        match = HEAD.fullmatch(head)
        route_match = None if match is None else self._match(match[1])
        if match is None or route_match is None:
            return None
        route, reference = route_match
        headers = _read_headers(match[2].decode("ascii"), KNOWN_HEADERS | route.headers)
        if headers is None:
            return None
        length, keep_alive = headers.get("content-length", ""), KEEP_ALIVE.get(headers.get("connection", "").lower())
        if keep_alive is None or not length.isdigit() or int(length) > SMALL_BYTES:
            return None
        content_type = headers.get("content-type", "")
        try:
            body = body_format(content_type)
        except ProblemError as error:
            if error.code != "unsupported_media_type":
                return None
            body = None
        if body not in route.formats or headers.get("accept", RESPONSE_TYPE) not in ANY_TYPE:
            return None
        return RequestHead(
            route=route,
            path=match[1].decode("ascii"),
            reference=reference,
            body_format=body,
            body_bytes=int(length),
            keep_alive=keep_alive,
            host=headers.get("host", "").encode("ascii"),
            authorization=headers.get("authorization", "").encode("ascii"),
            request_id=headers.get("x-request-id", ""),
            traceparent=headers.get("traceparent", ""),
            headers={name: headers[name] for name in route.headers & headers.keys()},
        )

    def _match(self, path: bytes) -> tuple[FastRoute, str] | None:
        for route in self._routes:
            if match := route.pattern.fullmatch(path):
                return route, match[1].decode("ascii") if route.pattern.groups else ""
        return None


def _read_headers(lines: str, names: Set[str]) -> dict[str, str] | None:
    """Return the known headers; None if there is another, or one comes twice."""
    headers: dict[str, str] = {}
    for raw_name, value in HEADER.findall(lines):
        name = raw_name.lower()
        if name in names and name not in headers:
            headers[name] = value
        elif name not in IGNORED_HEADERS and not name.startswith(IGNORED_PREFIX):
            return None
    return headers
