"""Parsing of the heads of usual prediction requests, for the fast path."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from app.http.errors import ProblemError
from app.predict.handler import RESPONSE_TYPE, BodyFormat, body_format
from app.serving.service import SMALL_BYTES

START: Final = b"POST /predict/"
MAX_HEAD_BYTES: Final = 8 * 1024
END_OF_HEAD: Final = b"\r\n\r\n"
MAX_CACHED_HEADS: Final = 256
#: A head as nearly every client writes it: a subset of RFC 9112 that cannot be read in two ways.
HEAD: Final = re.compile(
    rb"POST /predict/([A-Za-z0-9._@-]++) HTTP/1\.1\r\n((?:[A-Za-z0-9-]++: (?! )[ -~]*+(?<! )\r\n)++)\r\n"
)
HEADER: Final = re.compile(r"([^:]++): ([^\r]*+)\r\n")
#: Values of `Accept` that mean JSON.
ANY_TYPE: Final = ("*/*", RESPONSE_TYPE)
#: Values of `Connection`, and whether another request may follow.
KEEP_ALIVE: Final = {"": True, "keep-alive": True, "close": False}
KNOWN_HEADERS: Final = frozenset(
    {"content-type", "content-length", "authorization", "host", "accept", "x-request-id", "connection"}
)
IGNORED_HEADERS: Final = frozenset({"user-agent", "accept-encoding", "accept-language", "cache-control"})


class RequestHead(NamedTuple):
    """Fields of a usual head."""

    reference: str
    body_format: BodyFormat
    body_bytes: int
    keep_alive: bool
    host: bytes
    authorization: bytes
    request_id: str


@lru_cache(MAX_CACHED_HEADS)
def read_head(head: bytes) -> RequestHead | None:
    """Parse a head; None where it is unusual.

    Cached, as a client sends much the same head each time.
    """
    match = HEAD.fullmatch(head)
    if match is None:
        return None
    headers: dict[str, str] = {}
    for raw_name, value in HEADER.findall(match[2].decode("ascii")):
        name = raw_name.lower()
        if name in KNOWN_HEADERS and name not in headers:
            headers[name] = value
        elif name not in IGNORED_HEADERS:
            return None
    length, keep_alive = headers.get("content-length", ""), KEEP_ALIVE.get(headers.get("connection", "").lower())
    if keep_alive is None or not length.isdigit() or int(length) > SMALL_BYTES:
        return None
    try:
        body = body_format(headers.get("content-type", ""))
    except ProblemError:
        return None
    if body is BodyFormat.FORM or headers.get("accept", RESPONSE_TYPE) not in ANY_TYPE:
        return None
    return RequestHead(
        reference=match[1].decode("ascii"),
        body_format=body,
        body_bytes=int(length),
        keep_alive=keep_alive,
        host=headers.get("host", "").encode("ascii"),
        authorization=headers.get("authorization", "").encode("ascii"),
        request_id=headers.get("x-request-id", ""),
    )
