"""Migrations up and down, with both databases; the revisions make the tables of `store`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, inspect

import migrations
from migrations.__main__ import configuration, upgrade
from store.database import make_engine
from store.tables import Base
from tests.support.servers import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'plinth.db'}"
        return
    server = Postgres().start()
    yield server.url()
    server.stop()


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = make_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_up_down_and_up_again(connection: Connection) -> None:
    upgrade(connection)
    assert tables(connection) == set(Base.metadata.tables)
    config = configuration()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")
    assert tables(connection) == set()
    upgrade(connection)
    assert tables(connection) == set(Base.metadata.tables)


def test_no_table_has_changed_without_a_revision(connection: Connection) -> None:
    upgrade(connection)
    config = configuration()
    config.attributes["connection"] = connection
    command.check(config)


def test_concurrent_migrations_wait_for_each_other(url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PLINTH_HOME": str(tmp_path), "PLINTH_DATABASE_URL": url}
    processes = [subprocess.Popen([sys.executable, "-m", migrations.__name__], env=environment) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
