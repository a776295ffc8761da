"""How many predictions does one core serve, through the whole service as a user runs it, and how many could it?

python -m benchmarks.serving [--seconds 3] [--connections 64]

Needs `wrk` (Debian: apt-get install wrk). The service has one core, the load another; keys, request ids, metrics and
the access log are on. Figures are requests per CPU-second of the service's process: a busy machine counts little.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.api_process import ApiProcess

SERVER_CORE, LOAD_CORE = "0", "1"
BODIES = 16
NO_OP = """
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
options = {"log_level": "warning", "access_log": False, "loop": "uvloop", "lifespan": "off"}
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), **options)
"""
AIMS = {"json": 10_000, "png": 10_000, "raw": 15_000}


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk measured, and the CPU seconds that it cost the server."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        """Requests."""
        return self.requests / max(self.cpu_seconds, 1e-9)


def drive(
    port: int, pid: int, path: str, bodies: list[bytes], headers: Mapping[str, str], *, seconds: int, connections: int
) -> Load:
    """Send the bodies in turn, over so many connections that are kept alive."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        for number, body in enumerate(bodies):
            (Path(folder) / f"{number}.body").write_bytes(body)
        script.write_text(
            "\n".join(
                [
                    "local bodies = {}",
                    f"for number = 0, {len(bodies) - 1} do",
                    f"  local file = io.open('{folder}/' .. number .. '.body', 'rb')",
                    "  bodies[number] = file:read('*a'); file:close()",
                    "end",
                    "local turn = 0",
                    "local headers = " + _lua(headers),
                    "request = function()",
                    f"  turn = (turn + 1) % {len(bodies)}",
                    f"  return wrk.format('POST', '{path}', headers, bodies[turn])",
                    "end",
                    "done = function(summary, latency)",
                    "  local failed = summary.errors.connect + summary.errors.read + summary.errors.write",
                    "    + summary.errors.status + summary.errors.timeout",
                    "  print(string.format('RESULT %d %d %f %f', summary.requests, failed,",
                    "    latency:percentile(50) / 1000, latency:percentile(99) / 1000))",
                    "end",
                ]
            )
        )
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}"]
        process = psutil.Process(pid)
        before = sum(process.cpu_times()[:2])
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        cpu = sum(process.cpu_times()[:2]) - before
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+)", said)
    assert found, said
    return Load(int(found[1]), int(found[2]), float(found[3]), float(found[4]), cpu)


def _lua(headers: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'["{name}"] = "{value}"' for name, value in headers.items()) + "}"


def no_op(*, seconds: int, connections: int) -> Load:
    """What uvicorn serves of an ASGI callable that does nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(["taskset", "-c", SERVER_CORE, sys.executable, "-c", NO_OP, str(port)])
    try:
        for _ in range(200):
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        return drive(port, process.pid, "/", [b"{}"], {}, seconds=seconds, connections=connections)
    finally:
        process.terminate()
        process.wait(10)


def compute_limit(folder: Path, *, rows: int = 64) -> float:
    """Inputs a CPU-second that the network alone answers, without a server."""
    from ml.package import ModelPackage
    from ml.predictor import Predictor

    predictor = Predictor.load(ModelPackage.open(folder))
    batch = {"image": np.random.default_rng(0).random((rows, 1, 28, 28), dtype=np.float32)}
    for _ in range(20):
        predictor._run("model", batch)
    began, calls = time.process_time(), 200
    for _ in range(calls):
        predictor._run("model", batch)
    return rows * calls / (time.process_time() - began)


def small_network(folder: Path) -> Path:
    """One convolution and a dense layer for 28 x 28 pictures, as `finetune` leaves it after two steps."""
    from pydantic import TypeAdapter

    from ml.data.importing import import_dataset
    from ml.learning.train import train
    from ml.spec import Spec
    from ml.tasks import TASKS

    pixels = pictures(400)
    lines = ["label," + ",".join(f"p{place}" for place in range(784))]
    lines += [f"{row % 10}," + ",".join(map(str, each.ravel().tolist())) for row, each in enumerate(pixels)]
    source = folder / "pictures.csv"
    source.write_text("\n".join(lines))
    report = import_dataset([source], folder / "dataset", task="image_classification", purposes=TASKS)
    assert report.state == "ready", report.errors
    asked = {
        "kind": "finetune",
        "dataset": "pictures",
        "model": "small",
        "task": "image_classification",
        "architecture": {"name": "cnn", "config": {"preset": "document", "hidden": 64}},
        "schedule": {"epochs": 1},
    }
    spec = TypeAdapter(Spec).validate_python(asked)
    done = train(
        spec, folder / "dataset", folder / "work", device="cpu", on_progress=lambda _: None, should_stop=lambda: None
    )
    return done.package.directory


def pictures(count: int) -> np.ndarray:
    """uint8 [count, 28, 28]."""
    return np.random.default_rng(1).integers(0, 256, size=(count, 28, 28), dtype=np.uint8)


def bodies(kind: str) -> tuple[list[bytes], str]:
    """So many different requests of a kind, and their content type."""
    from ml.data.images import encode_png

    each = pictures(BODIES)
    if kind == "json":
        return [json.dumps({"inputs": [{"pixels": one.tolist()}]}).encode() for one in each], "application/json"
    if kind == "base64":
        encoded = [base64.b64encode(encode_png(one[:, :, None])).decode() for one in each]
        return [json.dumps({"inputs": [{"image": one}]}).encode() for one in encoded], "application/json"
    if kind == "png":
        # Noise does not compress; a drawn digit is what people send.
        return [encode_png(_drawn(number)) for number in range(BODIES)], "image/png"
    return [b"P5\n28 28\n255\n" + one.tobytes() for one in each], "image/x-portable-graymap"


def _drawn(number: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (28, 28))
    ImageDraw.Draw(canvas).line([(4 + number % 8, 5), (22, 8), (10, 24)], fill=255, width=3)
    return np.asarray(canvas)[:, :, None]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("needs two cores: one serves, one asks")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = small_network(folder)
        api = ApiProcess(folder / "home", cores=SERVER_CORE)
        with api:
            _register(api, package)
            measure(api, package, seconds=asked.seconds, connections=asked.connections)


def _register(api: ApiProcess, package: Path) -> None:
    os.environ.update(api.environment)
    from ml.package import ModelPackage
    from tests.app.factories import registered

    registered(ModelPackage.open(package), name="small")


def measure(api: ApiProcess, package: Path, *, seconds: int, connections: int) -> None:
    """Limits first, then every kind of request, then one connection."""
    limit, compute = no_op(seconds=seconds, connections=connections), compute_limit(package)
    serial = 1 / (1 / limit.per_cpu_second + 1 / compute)
    print(f"bare ASGI no-op   {limit.per_cpu_second:8.0f} requests per CPU-second")
    print(f"network alone     {compute:8.0f} inputs per CPU-second; both in a row {serial:.0f}")
    print(f"\n{connections} connections  per CPU-s     aim   of serial    p50 ms    p99 ms   failed")
    for kind in ("json", "base64", "png", "raw"):
        sent, content_type = bodies(kind)
        found = _loaded(api, sent, content_type, seconds=seconds, connections=connections)
        aim = f"{AIMS[kind]:7,}" if kind in AIMS else "      -"
        print(
            f"{kind:14} {found.per_cpu_second:10.0f} {aim} {found.per_cpu_second / serial:10.0%} "
            f"{found.p50_ms:9.2f} {found.p99_ms:9.2f} {found.failed:8}"
        )
    alone = [no_op(seconds=seconds, connections=1).p50_ms for _ in range(3)]
    sent, content_type = bodies("raw")
    ours = [_loaded(api, sent, content_type, seconds=seconds, connections=1).p50_ms for _ in range(3)]
    above = statistics.median(ours) - statistics.median(alone)
    print(f"\none connection: p50 {above:.2f} ms above the no-op's {statistics.median(alone):.2f} ms (aim 0.35)")


def _loaded(api: ApiProcess, sent: list[bytes], content_type: str, *, seconds: int, connections: int) -> Load:
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": content_type, "Host": f"127.0.0.1:{api.port}"}
    ask: Callable[[int], Load] = lambda for_seconds: drive(  # noqa: E731 - the same, for the warm-up and in earnest
        api.port, api.pid, "/predict/small", sent, headers, seconds=for_seconds, connections=connections
    )
    ask(1)
    return ask(seconds)


if __name__ == "__main__":
    main()
