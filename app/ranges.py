"""Responses of known length with ETag and Range, so that downloads can be resumed.

Source: RFC 9110, sections 8.8, 13 and 14.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Header
from starlette.responses import Response, StreamingResponse

from app.http.errors import ProblemError
from app.http.methods import IS_HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import BinaryIO

    from starlette.requests import Request

BLOCK_BYTES: Final = 1024**2
#: One range: first and last byte, either of which may be missing. Anything else is answered with the whole content.
_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,19})[ \t]*-[ \t]*(\d{0,19})[ \t]*", re.IGNORECASE)


RangeHeader = Annotated[
    str | None,
    Header(
        alias="Range",
        description="One range of bytes, such as `bytes=1000-`; several are answered with the whole content.",
    ),
]
IfRange = Annotated[
    str | None, Header(alias="If-Range", description="`ETag` of the part that is there: the range counts only for it.")
]


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that can be read from any offset."""

    length: int
    #: Quoted strong entity tag: equal tags mean equal bytes.
    etag: str
    media_type: str
    #: Yields the bytes from an offset to the end, in blocks.
    read: Callable[[int], Generator[bytes, None, None]]


def respond_with_content(request: Request, content: Content, headers: Mapping[str, str]) -> Response:
    """Return the whole content, one range of it (206), or 304.

    Raises `ProblemError` 412 if `If-Match` names other content, and 416 for a range beyond the end.
    """
    headers = {**headers, "ETag": content.etag, "Accept-Ranges": "bytes"}
    if not _matches(request.headers.get("if-match", "*"), content.etag):
        detail = "The content is not the one that If-Match names. Download it again from the start, without If-Match."
        raise ProblemError(412, "precondition_failed", detail, headers={"ETag": content.etag})
    if _matches(request.headers.get("if-none-match", ""), content.etag, is_weak=True):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    requested = _requested_range(request, content)
    start, end = requested or (0, content.length)
    headers["Content-Length"] = str(end - start)
    if requested:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.length}"
    status = HTTPStatus.PARTIAL_CONTENT if requested else HTTPStatus.OK
    if getattr(request.state, IS_HEAD, False):
        return Response(status_code=status, headers=headers, media_type=content.media_type)
    blocks = _limit(content.read(start), end - start)
    return StreamingResponse(blocks, status, headers, content.media_type)


def _requested_range(request: Request, content: Content) -> tuple[int, int] | None:
    """Return start and end of the requested range; None for the whole content."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    condition = request.headers.get("if-range")
    if match is None or (condition is not None and condition.strip() != content.etag):
        return None
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if not first:
        start, end = max(0, content.length - int(last)), content.length
    else:
        start, end = int(first), min(content.length, int(last) + 1) if last else content.length
        if last and int(last) < start:
            return None
    if start >= end:
        detail = f"The content has {content.length} bytes; request a range that begins before its end."
        unsatisfied = {"Content-Range": f"bytes */{content.length}", "ETag": content.etag}
        raise ProblemError(416, "range_not_satisfiable", detail, headers=unsatisfied)
    return start, end


def _matches(condition: str, etag: str, *, is_weak: bool = False) -> bool:
    """Return whether a list of entity tags has `etag`; `*` has every one."""
    tags = [tag.strip() for tag in condition.split(",")]
    if is_weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    return condition.strip() == "*" or etag in tags


def _limit(blocks: Generator[bytes, None, None], count: int) -> Iterator[bytes]:
    """Yield the first `count` bytes, then close the source."""
    try:
        for block in blocks:
            if len(block) >= count:
                yield block[:count]
                return
            count -= len(block)
            yield block
    finally:
        blocks.close()


def read_blocks(file: BinaryIO, *, start: int = 0) -> Generator[bytes, None, None]:
    """Yield the content of a file from byte `start` in blocks, then close it."""
    with file:
        if start:
            file.seek(start)
        while block := file.read(BLOCK_BYTES):
            yield block


def measure(file: BinaryIO) -> int:
    """Return the size in bytes of a file, and close it."""
    with file:
        return file.seek(0, os.SEEK_END)
