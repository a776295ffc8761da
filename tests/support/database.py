"""An empty database of its own, for code that runs in this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrations.__main__ import upgrade
from store.database import engine
from tests.support.servers import Postgres
from tests.support.settings import forget_settings


@contextmanager
def empty_database(home: Path, *, postgresql: bool) -> Iterator[None]:
    """Point this process to an empty database: SQLite in `home`, or a new server."""
    server = Postgres().start() if postgresql else None
    os.environ["PLINTH_HOME"] = str(home)
    os.environ["PLINTH_DATABASE_URL"] = server.url() if server else f"sqlite:///{home / 'plinth.db'}"
    forget_settings()
    try:
        with engine().begin() as connection:
            upgrade(connection)
        yield
    finally:
        engine().dispose()
        forget_settings()
        if server:
            server.stop()
