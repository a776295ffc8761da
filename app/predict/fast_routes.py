"""Paths that the fast path answers: `/predict`, and those of other protocols."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

from app.predict.handler import BodyFormat, PredictInputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response

    from app.predict.handler import Outputs, PredictHandler
    from app.serving.types import LoadedModel, WatchRoute

    #: A loaded model and its watch by a reference; None where one must wait for it.
    Peek = Callable[[str], tuple[LoadedModel, WatchRoute | None] | None]

#: Pattern of a reference in a path.
REFERENCE: Final = rb"([A-Za-z0-9._@-]++)"


class RequestHead(NamedTuple):
    """Fields of a usual head."""

    route: FastRoute
    path: str
    #: Reference of the model; "" if the body has it.
    reference: str
    #: None for a type that no path knows.
    body_format: BodyFormat | None
    body_bytes: int
    keep_alive: bool
    host: bytes
    authorization: bytes
    request_id: str
    #: Span that caused the request, as W3C Trace Context writes it; "" without one.
    traceparent: str
    #: Headers that the route alone reads, by their names in lower case.
    headers: Mapping[str, str]


class FastCall(NamedTuple):
    """A parsed request."""

    model: LoadedModel
    #: Watch that records the answer; None without one.
    watch: WatchRoute | None
    request: PredictInputs
    #: Makes JSON, or a response of another type, of the outputs; raises `ProblemError`.
    encode: Callable[[Outputs], bytes | Response]


class FastRoute(ABC):
    """One path whose usual requests take the fast path.

    All others go to its ordinary route, invalid ones included.
    """

    #: The route, as metrics name it.
    template: str
    #: Start of the path.
    prefix: bytes
    #: The whole path; its group, if any, is the reference of the model.
    pattern: re.Pattern[bytes]
    #: Formats of the body; None is an unknown type.
    formats: frozenset[BodyFormat | None] = frozenset({BodyFormat.JSON})
    #: Further headers that change the meaning of the request.
    headers: frozenset[str] = frozenset()

    @abstractmethod
    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse a request with a small body.

        Return None, or raise `ProblemError` or `ValueError`, where the ordinary route must judge it.
        """


class NativeRoute(FastRoute):
    """Answers `/predict/NAME`, the native path."""

    template = "/predict/{model}"
    prefix = b"/predict/"
    pattern = re.compile(rb"/predict/" + REFERENCE)
    formats = frozenset({BodyFormat.JSON, BodyFormat.RAW})

    def __init__(self, handler: PredictHandler) -> None:
        self._handler = handler

    def parse(self, head: RequestHead, body: bytes, peek: Peek) -> FastCall | None:
        """Parse by the handler."""
        match = peek(head.reference)
        request = self._handler.parse_quickly(head.body_format or BodyFormat.JSON, body)
        if match is None or request is None:
            return None
        model, watch = match
        return FastCall(model, watch, request, lambda outputs: self._handler.respond(model.served, outputs))
