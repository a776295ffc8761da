"""Spans as a collector receives them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from store.telemetry.tracer import LAST_SPANS, Tracer
from tests.support.otlp_receiver import OtlpReceiver

CAUSE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
NOT_SAMPLED = CAUSE[:-1] + "0"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        for name, value in receiver.environment().items():
            monkeypatch.setenv(name, value)
        yield receiver


def test_a_span_continues_the_trace_of_its_cause(receiver: OtlpReceiver) -> None:
    tracer = Tracer("tests")
    span = tracer.start("outer", parent=CAUSE, is_server=True, attributes={"first": 1})
    inner = tracer.record("inner", parent=span.traceparent, start_ns=5_000, end_ns=9_000, error="bad_data")
    span.annotate({"second": "two"})
    span.end()
    tracer.close()
    outer_span = receiver.wait_for(lambda span: span.name == "outer")
    inner_span = receiver.wait_for(lambda span: span.name == "inner")
    assert (outer_span.trace_id, outer_span.parent_id) == ("ab" * 16, "cd" * 8)
    assert (outer_span.attributes, outer_span.status) == ({"first": 1, "second": "two"}, 0)
    assert (inner_span.trace_id, inner_span.parent_id) == (outer_span.trace_id, outer_span.span_id)
    assert (inner_span.start_ns, inner_span.end_ns) == (5_000, 9_000)
    assert (inner_span.status, inner_span.attributes) == (2, {"error.type": "bad_data"})
    assert inner.traceparent == f"00-{inner_span.trace_id}-{inner_span.span_id}-01"


@pytest.mark.parametrize("header", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "cd" * 8 + "-01", "ff" + CAUSE[2:]])
def test_without_a_valid_cause_a_span_begins_a_trace(receiver: OtlpReceiver, header: str | None) -> None:
    tracer = Tracer("tests")
    tracer.start("first", parent=header).end()
    tracer.close()
    span = receiver.wait_for(lambda span: True)
    assert span.parent_id == ""
    assert span.trace_id not in ("", "0" * 32, "ab" * 16)


def test_a_cause_that_is_not_sampled_has_no_spans_and_says_so_to_what_follows(receiver: OtlpReceiver) -> None:
    tracer = Tracer("tests")
    span = tracer.start("silent", parent=NOT_SAMPLED)
    span.annotate({"ignored": True})
    span.end(error="ignored")
    assert span.traceparent.startswith("00-" + "ab" * 16)
    assert span.traceparent.endswith("-00")
    tracer.start("heard", parent=CAUSE).end()
    tracer.close()
    receiver.wait_for(lambda span: span.name == "heard")
    assert [span.name for span in receiver.spans] == ["heard"]


def test_variables_name_the_process_before_its_own_name(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "vision")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20c2VjcmV0")
    tracer = Tracer("tests")
    tracer.start("span").end()
    tracer.close()
    assert receiver.wait_for(lambda span: True).service == "vision"
    assert not any(b"c2VjcmV0" in body for body in receiver.bodies)


def test_a_collector_that_hangs_does_not_delay_the_end_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracer = Tracer("tests")
        tracer.start("lost").end()
        tracer.close(0.1)
        # The request itself lasts for OTEL_EXPORTER_OTLP_TIMEOUT, and nobody waits for it.
        assert LAST_SPANS in [thread.name for thread in threading.enumerate()]
