"""CPU time of traces: none, one request in a hundred, and all of them."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Final

from benchmarks.serving import images
from benchmarks.serving.service import Figure, Service
from tests.support.factories import png
from tests.support.otlp_receiver import OtlpReceiver

ROUNDS: Final = 5
#: Name of a way -> variables of the service, beside the address of the collector.
WAYS: Final = {
    "off": None,
    "1 in 100": {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"},
    "all": {},
}
#: As a client sends it that traces requests; the service has to decide by itself where there is none.
CAUSE: Final = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}


def measure(service: Service) -> Iterable[Figure]:
    """The same predictions on the fast path, the ways in turns.

    The collector is on the core of the load.
    """
    service.register(images.small_network(service.folder / "images"), name="small")
    micros: dict[str, list[float]] = {way: [] for way in [*WAYS, "off, for a client that traces"]}
    # It accepts spans without reading them.
    with OtlpReceiver(status=202) as receiver:
        for _ in range(ROUNDS):
            for way, variables in WAYS.items():
                collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.origin}
                _restart(service, {} if variables is None else {**variables, **collector})
                micros[way].append(_cpu_micros(service, {}))
                if variables is None:
                    micros["off, for a client that traces"].append(_cpu_micros(service, CAUSE))
    off = median(micros["off"])
    for way, values in micros.items():
        note = (
            f"{min(values):.0f} to {max(values):.0f} in {ROUNDS} rounds, {median(values) / off:.2f} times that of off"
        )
        yield Figure(f"traces, {way}: CPU time of a small prediction", f"{median(values):.0f} us", note=note)


def _restart(service: Service, variables: dict[str, str]) -> None:
    service.api.stop()
    environment = service.api.environment
    for name in [name for name in environment if name.startswith("OTEL_")]:
        del environment[name]
    environment.update(variables)
    service.api.start()


def _cpu_micros(service: Service, headers: dict[str, str]) -> float:
    load = service.drive(
        "/predict/small", [png(200, side=28)], "image/png", connections=service.connections, headers=headers
    )
    assert not load.failed, load.message
    return load.cpu_seconds / load.requests * 1e6
