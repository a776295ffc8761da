"""A real HTTP server that receives traces by OTLP, as a collector does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.http_receiver import HttpReceiver, QuietHandler

WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class ReceivedSpan:
    """One span, its ids in hexadecimal."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    #: 0 unset, 1 ok, 2 error.
    status: int


@dataclass
class OtlpReceiver(HttpReceiver):
    """Collects spans."""

    #: Status of responses.
    status: int = 200
    spans: list[ReceivedSpan] = field(default_factory=list)
    #: Bodies as they came, to look for what must not be in them.
    bodies: list[bytes] = field(default_factory=list)

    def make_handler(self) -> type[QuietHandler]:
        """Return the class that responds to requests."""
        receiver = self

        class Handler(QuietHandler, BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces" and receiver.status == 200:
                    receiver.receive(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(receiver.status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        return Handler

    def environment(self) -> dict[str, str]:
        """Variables of a process that sends its traces here, at once."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.origin, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def receive(self, body: bytes) -> None:
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource_spans in request.resource_spans:
            resource = _read(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                self.spans += [_convert(span, str(resource["service.name"])) for span in scope_spans.spans]

    def wait_for(self, matches: Callable[[ReceivedSpan], bool]) -> ReceivedSpan:
        """Return the first span that matches, once it has arrived."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if span := next(filter(matches, list(self.spans)), None):
                return span
            time.sleep(0.02)
        raise AssertionError(f"no such span among {[span.name for span in self.spans]}")


def _convert(span: Any, service: str) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _read(span.attributes),
        span.status.code,
    )


def _read(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}
