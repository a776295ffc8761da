"""The fork server, which takes three seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.worker.waiting import until
from worker.child_process import environment_for_runs
from worker.fork_server import ForkServer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Return a fork server that is ready."""
    server = ForkServer(environment_for_runs())
    server.start()
    until(lambda: server.is_ready)
    yield server
    server.close()
