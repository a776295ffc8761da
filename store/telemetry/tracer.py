"""Spans of OpenTelemetry, sent by OTLP over HTTP.

Import it only where traces are sent, as the SDK takes 0.1 s and 15 MB: `store.telemetry.configuration` does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from plinth import __version__
from store.telemetry.reporting_exporter import ReportingExporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from store.telemetry.current_span import Attributes

#: Name of the thread that sends them.
LAST_SPANS: Final = "last spans"
#: Beginning of the name that the SDK gives a process without one.
UNNAMED_SERVICE: Final = "unknown_service"
#: Time for the last spans to be sent when a process stops.
CLOSE_SECONDS: Final = 1.0

_HEADER: Final = "traceparent"
_propagator: Final = TraceContextTextMapPropagator()


class ActiveSpan:
    """A span that has begun and not yet ended."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """Identity of the span, as a header of W3C Trace Context."""
        headers: dict[str, str] = {}
        _propagator.inject(headers, trace.set_span_in_context(self._span))
        return headers[_HEADER]

    def annotate(self, attributes: Attributes) -> None:
        """Set attributes."""
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Replace the name, where it is known only at the end."""
        self._span.update_name(name)

    def end(self, *, end_ns: int | None = None, error: str | None = None) -> None:
        """End the span, now or at `end_ns` nanoseconds since 1970.

        `error` is a code, never a message.
        """
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end(end_ns)


class Tracer:
    """Makes the spans of one process, and sends them in the background.

    The exporter, the sampler and the batches are configured by the `OTEL_*` variables of the OpenTelemetry SDK.
    """

    def __init__(self, service: str, *, exporter: SpanExporter | None = None) -> None:
        """Create a tracer; `service` is the name of the process unless a variable says otherwise.

        Raises `ValueError` for a variable that the SDK cannot use.
        """
        # None of it is global: nobody else's instrumentation can send through it.
        self._provider = TracerProvider(
            resource=_describe_process(service),
            shutdown_on_exit=False,
        )
        self._exporter = ReportingExporter(exporter or OTLPSpanExporter())
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("plinth", __version__)

    def start(
        self,
        name: str,
        *,
        parent: str | None = None,
        is_server: bool = False,
        start_ns: int | None = None,
        attributes: Attributes | None = None,
    ) -> ActiveSpan:
        """Begin a span.

        Args:
            name: What happens, without ids and other values.
            parent: The `traceparent` of the span that caused it; without a valid one it begins a trace.
            is_server: Whether it answers a request of another process.
            start_ns: Its begin in nanoseconds since 1970; None for now.
            attributes: What the sampler may decide by.
        """
        # Never the context of this thread: the parent is what the caller says.
        context = _propagator.extract({_HEADER: parent}, context=Context()) if parent else Context()
        kind = SpanKind.SERVER if is_server else SpanKind.INTERNAL
        return ActiveSpan(
            self._tracer.start_span(name, context=context, kind=kind, attributes=attributes, start_time=start_ns)
        )

    def record(
        self,
        name: str,
        *,
        start_ns: int,
        end_ns: int,
        parent: str | None = None,
        attributes: Attributes | None = None,
        error: str | None = None,
    ) -> ActiveSpan:
        """Make a span of what has ended; the arguments are those of `start` and `ActiveSpan.end`."""
        span = self.start(name, parent=parent, start_ns=start_ns, attributes=attributes)
        span.end(end_ns=max(start_ns, end_ns), error=error)
        return span

    def can_send(self) -> bool:
        """Return whether the collector accepts a request without spans."""
        return self._exporter.export(()) is SpanExportResult.SUCCESS

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send the spans that wait, within `seconds`.

        A collector that hangs must not delay the end of a process.
        """
        thread = threading.Thread(target=self._provider.shutdown, name=LAST_SPANS, daemon=True)
        thread.start()
        thread.join(seconds)


def _describe_process(service: str) -> Resource:
    """Return the attributes of this process; those of variables precede."""
    configured = Resource.create()
    if str(configured.attributes["service.name"]).startswith(UNNAMED_SERVICE):
        configured = configured.merge(Resource({"service.name": service}))
    return Resource({"service.version": __version__}).merge(configured)
