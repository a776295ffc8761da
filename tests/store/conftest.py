"""A migrated database for every test, in SQLite and in PostgreSQL."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from migrations.__main__ import upgrade
from store import database as store_database
from store.database import make_engine
from store.tables import Base
from tests.support.servers import Postgres
from tests.support.settings import forget_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path / "home"))
    forget_settings()
    yield tmp_path / "home"
    forget_settings()


def _migrate(url: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()


@pytest.fixture(scope="session")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    folder = tmp_path_factory.mktemp("sqlite")
    _migrate(f"sqlite:///{folder / 'template.db'}")

    def new() -> str:
        path = folder / f"{secrets.token_hex(6)}.db"
        shutil.copy(folder / "template.db", path)
        return f"sqlite:///{path}"

    return new


@pytest.fixture(scope="session")
def new_postgresql() -> Iterator[Callable[[], str]]:
    """Yield one database, emptied before every test: a clone would cost a thousand files."""
    server = Postgres().start()
    engine = create_engine(server.url())
    everything = ", ".join(f'"{name}"' for name in Base.metadata.tables)
    try:
        _migrate(server.url())

        def new() -> str:
            with engine.begin() as connection:
                connection.execute(text(f"TRUNCATE {everything}"))
            return server.url()

        yield new
    finally:
        engine.dispose()
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the settings of this process to an empty database, and return its URL."""
    url: str = request.getfixturevalue(f"new_{request.param}")()
    monkeypatch.setenv("PLINTH_DATABASE_URL", url)
    forget_settings()
    store_database.sessions()  # Like a service at its start, before it has threads.
    return url
