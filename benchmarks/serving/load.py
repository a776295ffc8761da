"""Load by wrk on its own core, and a bare ASGI callable as the limit."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

SERVER_CORE: Final = "0"
LOAD_CORE: Final = "1"
#: Before a load, while requests of the one before are running.
WAIT_SECONDS: Final = 0.1
MAX_WAITS: Final = 100
#: What a process without requests may take in this time.
IDLE_CPU_SECONDS: Final = 0.01
NO_OP: Final = """
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
options = {"log_level": "warning", "access_log": False, "loop": "uvloop", "lifespan": "off"}
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), **options)
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Result of wrk, and the CPU seconds of the server."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        """Requests."""
        return self.requests / max(self.cpu_seconds, 1e-9)

    @property
    def message(self) -> str:
        """Latency and failures."""
        return f"p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms, {self.failed} failed"


def drive(
    port: int,
    pid: int,
    path: str | Sequence[str],
    bodies: list[bytes],
    headers: Mapping[str, str],
    *,
    seconds: int,
    connections: int,
) -> Load:
    """Send the bodies to the paths in turn, over kept-alive connections."""
    paths = [path] if isinstance(path, str) else path
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
                    "local paths = {" + ", ".join(f'"{path}"' for path in paths) + "}",
                    "local turn = 0",
                    "local headers = " + _lua(headers),
                    "request = function()",
                    "  turn = turn + 1",
                    "  local path = paths[turn % #paths + 1]",
                    f"  return wrk.format('POST', path, headers, bodies[turn % {len(bodies)}])",
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
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}"]
        before = _settled_cpu_seconds(pid)
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        cpu = cpu_seconds(pid) - before
    result = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+)", text)
    assert result, text
    return Load(int(result[1]), int(result[2]), float(result[3]), float(result[4]), cpu)


def _settled_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds once they rise no more.

    Requests of an earlier load may still be running.
    """
    seconds = cpu_seconds(pid)
    for _ in range(MAX_WAITS):
        time.sleep(WAIT_SECONDS)
        earlier, seconds = seconds, cpu_seconds(pid)
        if seconds - earlier <= IDLE_CPU_SECONDS:
            break
    return seconds


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of the process and its running children."""
    process = psutil.Process(pid)
    return sum(sum(item.cpu_times()[:2]) for item in [process, *process.children(recursive=True)])


def _lua(headers: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'["{name}"] = "{value}"' for name, value in headers.items()) + "}"


def no_op(*, seconds: int, connections: int) -> Load:
    """Serve an ASGI callable that does nothing, with uvicorn."""
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
