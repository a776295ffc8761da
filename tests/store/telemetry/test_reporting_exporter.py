"""Reports of a collector that is down."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from store.telemetry.reporting_exporter import ReportingExporter
from tests.support.otlp_receiver import OtlpReceiver


def test_a_collector_that_fails_is_reported_once_with_the_reason_and_once_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with OtlpReceiver(status=401) as receiver, caplog.at_level(logging.INFO):
        exporter = ReportingExporter(OTLPSpanExporter(f"{receiver.origin}/v1/traces"))
        for status in (401, 401, 200, 200, 401):
            receiver.status = status
            exporter.export(())
        exporter.shutdown()
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in messages] == [
        "the collector does not take spans, which are lost until it does",
        "the collector takes spans again",
        "the collector does not take spans, which are lost until it does",
    ]
    assert "401" in messages[0]
