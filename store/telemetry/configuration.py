"""Configuration of traces, by the standard variables of OpenTelemetry."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from plinth.installation import install_command

if TYPE_CHECKING:
    from store.telemetry.tracer import Tracer

#: Extra of the package that installs the SDK and the exporter.
EXTRA: Final = "telemetry"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_PATH: Final = "/v1/traces"
TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL: Final = "http/protobuf"

log = logging.getLogger(__name__)


class TracingUnavailable(Exception):
    """Traces are configured and cannot be sent.

    The message says why, and names the next step.
    """


def find_endpoint() -> str | None:
    """Return the address of the collector, without credentials.

    None where tracing is off.
    """
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or _read(TRACES_EXPORTER) == "none"
    address = _read(TRACES_ENDPOINT)
    if not address and (base := _read(ENDPOINT)):
        address = base.rstrip("/") + TRACES_PATH
    if is_off or not address:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def create_tracer(service: str) -> Tracer:
    """Create the tracer of this process; raises `TracingUnavailable`."""
    address = find_endpoint() or ""
    if not address.startswith(("http://", "https://")):
        raise TracingUnavailable(f"{address!r} is no address of a collector. Write it as http://collector:4318.")
    if (exporter := _read(TRACES_EXPORTER)) not in ("", "otlp"):
        raise TracingUnavailable(f"{TRACES_EXPORTER} is {exporter!r}. Set it to otlp, or to none.")
    for name in PROTOCOLS:
        if _read(name) not in ("", PROTOCOL):
            raise TracingUnavailable(
                f"{name} is {_read(name)!r}. Set it to {PROTOCOL}, and use the collector's port for HTTP, often 4318."
            )
    try:
        module = import_module("store.telemetry.tracer")
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("opentelemetry"):
            raise
        raise TracingUnavailable(f"The packages of OpenTelemetry are missing. Run: {install_command(EXTRA)}") from error
    try:
        return module.Tracer(service)  # type: ignore[no-any-return]  # imported by its name
    except (ValueError, OSError) as error:
        raise TracingUnavailable(f"OpenTelemetry: {error}. Correct the OTEL_ variable.") from error


def open_tracer(service: str) -> Tracer | None:
    """Create the tracer of this process.

    None where tracing is off, or where it cannot work, which is logged.
    """
    address = find_endpoint()
    if address is None:
        return None
    try:
        tracer = create_tracer(service)
    except TracingUnavailable as error:
        log.warning("traces are not sent: %s", error)
        return None
    log.info("traces are sent to %s", address)
    return tracer


def _read(name: str) -> str:
    return os.environ.get(name, "").strip()
