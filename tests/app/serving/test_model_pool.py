"""Memory of a real process: models are loaded on demand, and evicted ones are freed."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import GRAPH, png, register, shades

pytestmark = pytest.mark.process

MIB = 1024**2
MODELS = 5
MODEL_BYTES = 24 * MIB
#: Variation of everything else in the process; a third of a model.
VARIATION_BYTES = 8 * MIB


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api = ApiProcess(new_home())
    # Room for two of the five.
    api.environment["PLINTH_PREDICT_MEMORY_BYTES"] = str(2 * MODEL_BYTES + MIB)
    with homes.use_home(api.home):
        folder = tmp_path_factory.mktemp("packages")
        for number in range(MODELS):
            register(shades(folder / str(number), bias=number, ballast_bytes=MODEL_BYTES), name=f"shades-{number}")
    with api:
        yield api


def predict(connection: http.client.HTTPConnection, api: ApiProcess, model: str) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "image/png"}
    connection.request("POST", f"/predict/{model}", png(200), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def evictions(api: ApiProcess) -> float:
    lines = api.request("GET", "/metrics")[2].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("plinth_model_evictions_total"))


def test_models_in_turn_stay_within_the_memory_budget(api: ApiProcess) -> None:
    # Each model has a connection of its own that stays open: it must not keep the model in memory.
    connections = [http.client.HTTPConnection("127.0.0.1", api.port, timeout=30) for _ in range(MODELS)]
    assert predict(connections[0], api, "shades-0")[0] == 200
    one = api.rss_bytes()
    peak = 0
    for _ in range(4):
        for number, connection in enumerate(connections):
            for _ in range(3):  # The first waits for the package; the others take the fast path.
                status, body = predict(connection, api, f"shades-{number}")
                assert status == 200, body
            peak = max(peak, api.rss_bytes())
    time.sleep(0.3)
    for connection in connections:
        connection.close()
    # One more than before, and a third while it is evicted; each once as a file and once as the engine packs it.
    assert peak - one < 2 * 2 * MODEL_BYTES + VARIATION_BYTES
    assert api.rss_bytes() - one < 1.5 * 2 * MODEL_BYTES + VARIATION_BYTES
    assert evictions(api) >= 4 * MODELS - 3
    served = json.loads(api.request("GET", "/predict")[2])["data"]
    assert sum(model["serving"] is not None for model in served) == 2


def test_any_damaged_file_is_refused_and_served_again_once_it_is_restored(api: ApiProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)

    def evict() -> None:
        for others in (1, 2):
            assert predict(connection, api, f"shades-{others}")[0] == 200

    evict()
    version = json.loads(api.request("GET", "/api/v1/models/shades-0/versions/1")[2])
    folder = api.home / "blobs" / "models" / version["id"]
    for name in (GRAPH, "manifest.json", "encoders/image/encoder.json", "task/state.json"):
        path = folder / name
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(damaged)
        status, body = predict(connection, api, "shades-0")
        assert status == 409, name
        assert name.encode() in body, body
        assert json.loads(body)["code"] == "invalid_package", body
        assert predict(connection, api, "shades-1")[0] == 200
        path.write_bytes(whole)
        assert predict(connection, api, "shades-0")[0] == 200
        evict()
    connection.close()
