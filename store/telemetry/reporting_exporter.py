"""Reports once when spans stop arriving, and once when they arrive again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

#: Logger of the exporter, which writes four lines for every batch that a dead collector does not take.
EXPORTER_LOGGER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

log = logging.getLogger(__name__)


class _FirstMessage(logging.Filter):
    """Stores the first message of a batch, which has the reason, and passes none on."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.text = self.text or record.getMessage()
        return False


#: One for the process: a logger asks no further filter once one has refused a record.
_first_message: Final = _FirstMessage()


class ReportingExporter(SpanExporter):
    """Passes spans to an exporter.

    It logs changes of its success in place of every attempt.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False
        logging.getLogger(EXPORTER_LOGGER).addFilter(_first_message)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans; those of a batch that fails are lost."""
        _first_message.text = ""
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            log.warning("the collector does not take spans, which are lost until it does: %s", _first_message.text)
        elif self._is_failing and not is_failing:
            log.info("the collector takes spans again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()
