"""Event streams of jobs that do nothing: CPU of the web process for each.

The jobs are queued, and no worker runs. The cost of a stream is the CPU of the process with the streams, less that
without, divided by their number.

    python -m benchmarks.event_streams
    python -m benchmarks.event_streams --streams 1000 --seconds 30
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import figure, parse_args
from tests.support.api_process import ApiProcess

AIM_PERCENT = 0.02


def cpu_percent(api: ApiProcess, seconds: float) -> float:
    """Return the CPU time of the process in percent of one core."""
    before, began = api.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return 100 * (api.cpu_seconds() - before) / (time.monotonic() - began)


def open_stream(api: ApiProcess, job_id: str) -> socket.socket:
    """Open a stream, and read its first bytes."""
    stream = socket.create_connection(("127.0.0.1", api.port), timeout=30)
    stream.sendall(
        f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {api.key}\r\n\r\n".encode()
    )
    assert b" 200 " in stream.recv(65_536)
    return stream


def queue_jobs(api: ApiProcess, count: int) -> list[str]:
    """Queue jobs in the database of the process."""
    os.environ.update(api.environment)
    # Only now: what is imported reads the environment.
    from tests.support.factories import queue_job

    return [queue_job() for _ in range(count)]


def main() -> int:
    """Print the cost of an idle stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parse_args(parser)
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder) / "home")
        with api:
            idle = cpu_percent(api, options.seconds)
            jobs = queue_jobs(api, 5)
            streams = [open_stream(api, jobs[number % len(jobs)]) for number in range(options.streams)]
            time.sleep(1)
            busy = cpu_percent(api, options.seconds)
            for stream in streams:
                stream.close()
    cost = (busy - idle) / options.streams
    print(f"{idle:.2f} % of a core without streams, {busy:.2f} % with {options.streams}: {cost:.4f} % each")
    figure(
        "idle event stream: CPU", cost, unit="% of a core", aim=f"<= {AIM_PERCENT}", note=f"{options.streams} together"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
