"""A migrated database, and the fork server, which takes three seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations.__main__ import upgrade
from store.database import engine
from tests.support.settings import forget_settings
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a home folder with a migrated database, in the process of the test."""
    for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path / "home"))
    forget_settings()
    with engine().begin() as connection:
        upgrade(connection)
    yield tmp_path / "home"
    forget_settings()
