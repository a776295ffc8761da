"""A whole service for tests: `plinth up` as a user starts it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth import Plinth
from plinth.client.home import read_stack

START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass
class RunningStack:
    """A `plinth up` that is ready."""

    home: Path
    url: str
    api_key: str
    process: subprocess.Popen[str]
    output: Path

    def client(self) -> Plinth:
        return Plinth(self.url, self.api_key)

    def pid_of(self, name: str) -> int:
        return int(next(noted["pid"] for noted in read_stack(self.home)["processes"] if noted["name"] == name))

    def environment(self) -> dict[str, str]:
        """Environment of a client command that finds this service by itself."""
        return {**clean_environment(), "PLINTH_HOME": str(self.home)}


def clean_environment() -> dict[str, str]:
    """Ours, without what would point at somebody's real service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PLINTH_")}


@contextmanager
def plinth_up(home: Path, **variables: str) -> Iterator[RunningStack]:
    """Start the service as a user would, and end it by its own means."""
    home.mkdir(parents=True, exist_ok=True)
    output = home / "up.txt"
    began = time.monotonic()
    with output.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "plinth", "up", "--home", str(home), "--port", "0"],
            stdout=written,
            stderr=subprocess.STDOUT,
            text=True,
            env={**clean_environment(), "OMP_NUM_THREADS": "1", **variables},
        )
    try:
        while not (noted := read_stack(home)).get("ready") or noted.get("pid") != process.pid:
            assert process.poll() is None, f"plinth up ended:\n{output.read_text()}"
            assert time.monotonic() < began + START_SECONDS, f"plinth up is not ready:\n{output.read_text()}"
            time.sleep(0.02)
        key = variables.get("PLINTH_API_KEY") or (home / "api-key").read_text().strip()
        yield RunningStack(home, noted["url"], key, process, output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
