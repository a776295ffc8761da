"""CPU and memory of an idle service after a model was loaded."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from benchmarks.serving import cold, images
from benchmarks.serving.service import Figure, Service
from tests.support.api_process import MIB

SETTLE_SECONDS: Final = 3.0
WATCHED_SECONDS: Final = 20.0
MAX_SHARE: Final = 0.005
MAX_MIB: Final = 150


def measure(service: Service) -> Iterable[Figure]:
    """Measure with a small network in memory, then with one of 90 MB as well."""
    service.register(images.small_network(service.folder / "pictures"), name="small")
    service.register(cold.import_published(service.folder / "minilm"), name="cold-0")
    request, content_type = images.bodies("png")
    service.drive("/predict/small", request, content_type, connections=8, seconds=1)
    yield from _watch(service, "a small network in memory", memory_aim=f"<= {MAX_MIB} MiB")
    cold.options(service, "cold-0")
    yield from _watch(service, "one of 90 MB besides", memory_aim="")


def _watch(service: Service, what: str, *, memory_aim: str) -> Iterable[Figure]:
    api = service.api
    time.sleep(SETTLE_SECONDS)
    before, began = api.cpu_seconds(), time.monotonic()
    time.sleep(WATCHED_SECONDS)
    fraction = (api.cpu_seconds() - before) / (time.monotonic() - began)
    yield Figure(f"idle, {what}", f"{fraction:.2%} of a core", f"<= {MAX_SHARE:.1%}")
    torch = "with" if "libtorch" in api.maps() else "without"
    yield Figure(f"idle, {what}: memory", f"{api.rss_bytes() / MIB:.0f} MiB resident", memory_aim, f"{torch} torch")
