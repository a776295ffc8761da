"""Configuration of traces, and mistakes in it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

import pytest

from store.telemetry.__main__ import check
from store.telemetry.configuration import TracingUnavailable, create_tracer, find_endpoint, open_tracer
from tests.support.otlp_receiver import OtlpReceiver

Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Sets the variables of OpenTelemetry, and no others of them."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)

    def configure(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"OTEL_{name}", value)

    return configure


def test_traces_are_off_by_default() -> None:
    assert find_endpoint() is None
    assert open_tracer("tests") is None
    assert check()["ok"]


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "http://collector:4318/v1/traces"),
        ({"EXPORTER_OTLP_ENDPOINT": "https://collector/otlp/"}, "https://collector/otlp/v1/traces"),
        ({"EXPORTER_OTLP_TRACES_ENDPOINT": "http://tempo/x", "EXPORTER_OTLP_ENDPOINT": "http://y"}, "http://tempo/x"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://a", "SDK_DISABLED": "true"}, None),
        ({"EXPORTER_OTLP_ENDPOINT": "http://a", "TRACES_EXPORTER": "none"}, None),
        ({"EXPORTER_OTLP_ENDPOINT": ""}, None),
    ],
)
def test_the_standard_variables_name_the_collector(
    variables: dict[str, str], address: str | None, configure: Configure
) -> None:
    configure(**variables)
    assert find_endpoint() == address


def test_credentials_in_an_address_are_not_shown(configure: Configure) -> None:
    configure(EXPORTER_OTLP_ENDPOINT="http://user:secret@collector:4318", TRACES_SAMPLER="always_off")
    assert find_endpoint() == "http://collector:4318/v1/traces"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "Write it as http://collector:4318"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://a", "EXPORTER_OTLP_PROTOCOL": "grpc"}, "Set it to http/protobuf"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://a", "TRACES_EXPORTER": "console"}, "Set it to otlp, or to none"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://a", "BSP_MAX_QUEUE_SIZE": "1"}, "Correct the OTEL_ variable"),
    ],
)
def test_a_mistake_is_logged_with_the_next_step_and_stops_no_process(
    variables: dict[str, str], message: str, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(**variables)
    with pytest.raises(TracingUnavailable, match=message):
        create_tracer("tests")
    with caplog.at_level(logging.WARNING):
        assert open_tracer("tests") is None
    assert [record.getMessage() for record in caplog.records if "traces are not sent" in record.getMessage()]
    assert not check()["ok"]
    assert check()["fix"]


def test_missing_packages_are_named_with_the_command_that_installs_them(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(EXPORTER_OTLP_ENDPOINT="http://collector:4318")
    monkeypatch.delitem(sys.modules, "store.telemetry.tracer", raising=False)
    # What `import` finds where a package is not installed.
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingUnavailable, match=r"pip install '?.*\[telemetry\]"):
        create_tracer("tests")
    assert "[telemetry]" in check()["fix"]


def test_the_check_asks_the_collector(configure: Configure) -> None:
    with OtlpReceiver() as receiver:
        configure(EXPORTER_OTLP_ENDPOINT=receiver.origin)
        assert check() == {"ok": True, "detail": f"sent to {receiver.origin}/v1/traces", "fix": None}
        assert receiver.spans == []
        receiver.status = 401
        refused = check()
    assert not refused["ok"]
    assert "OTEL_EXPORTER_OTLP_HEADERS" in refused["fix"]
