"""Spans of requests.

A span has the route, never the path or the query: sign-in links have secrets there.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from store.telemetry.configuration import open_tracer
from store.telemetry.current_span import current_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from store.telemetry.current_span import Attributes
    from store.telemetry.tracer import Tracer

#: Name of the API process in traces, unless `OTEL_SERVICE_NAME` says otherwise.
SERVICE: Final = "plinth-api"
NANOSECONDS: Final = 1_000_000_000


class RequestTracer:
    """Makes one span for every request, and sends them in the background."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def trace(
        self, scope: MutableMapping[str, Any], traceparent: str | None, status: Callable[[], int]
    ) -> Iterator[None]:
        """Make the span of a request while it is answered.

        `status` returns that of the response.
        """
        span = self._tracer.start(
            scope["method"], parent=traceparent, is_server=True, attributes={"http.request.method": scope["method"]}
        )
        token = current_span.set(span)
        try:
            yield
        finally:
            current_span.reset(token)
            state = scope["state"]
            route = getattr(scope.get("route"), "path", None)
            if route is not None:
                span.rename(f"{scope['method']} {route}")
            span.annotate(
                _describe_response(route, status(), key_id=state.get("key_id"), request_id=state["request_id"])
            )
            span.end(error=_error_of(status()))

    def record(
        self,
        *,
        route: str,
        traceparent: str,
        status: int,
        seconds: float,
        key_id: str,
        request_id: str,
        attributes: Attributes,
    ) -> None:
        """Make the span of a prediction that the fast path has just answered in `seconds`."""
        start_ns = time.time_ns() - int(seconds * NANOSECONDS)
        # All attributes at once: every later call would take a lock.
        attributes = {
            "http.request.method": "POST",
            **attributes,
            **_describe_response(route, status, key_id=key_id, request_id=request_id),
        }
        span = self._tracer.start(
            f"POST {route}", parent=traceparent, is_server=True, start_ns=start_ns, attributes=attributes
        )
        span.end(error=_error_of(status))

    def close(self) -> None:
        """Send the last spans."""
        self._tracer.close()


def open_request_tracer() -> RequestTracer | None:
    """Create the tracer of this API process; None where traces are not sent."""
    tracer = open_tracer(SERVICE)
    return None if tracer is None else RequestTracer(tracer)


def describe_prediction(model: str, version: int, *, inputs: int, queue_seconds: float) -> Attributes:
    """Return the attributes of a prediction.

    `queue_seconds` is its time in the queue of the model.
    """
    return {
        "plinth.model.name": model,
        "plinth.model.version": version,
        "plinth.predict.inputs": inputs,
        "plinth.predict.queue_seconds": round(queue_seconds, 6),
    }


def _describe_response(route: str | None, status: int, *, key_id: str | None, request_id: str) -> Attributes:
    attributes: dict[str, str | int] = {"http.response.status_code": status, "plinth.request.id": request_id}
    if route is not None:
        attributes["http.route"] = route
    if key_id is not None:
        attributes["plinth.key.id"] = key_id
    return attributes


def _error_of(status: int) -> str | None:
    """Return the status if it is an error.

    As OpenTelemetry has it, what a client did wrong is no error of the server.
    """
    return str(status) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
