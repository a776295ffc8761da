"""`python -m migrations`: bring the database up to date.

Run before anything listens, never inside a request.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from store.database import engine

#: An arbitrary number: concurrent migrations of PostgreSQL wait for this lock.
LOCK = 7_365_124


def configuration() -> Config:
    """Return the configuration of Alembic."""
    return Config(Path(__file__).with_name("alembic.ini"))


def upgrade(connection: Connection) -> None:
    """Migrate to the newest revision, in the transaction of `connection`."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main() -> int:
    """Migrate the configured database; return the exit status 0."""
    with engine().begin() as connection:
        upgrade(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
