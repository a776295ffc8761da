"""`python -m migrations`: bring the database up to date. Run before anything listens, never inside a request."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from store.database import engine

LOCK = 7_365_124
"""Any number that nobody else takes: two migrations at once wait for each other."""


def configuration() -> Config:
    """Alembic's, told where its scripts are."""
    return Config(Path(__file__).with_name("alembic.ini"))


def upgrade(connection: Connection) -> None:
    """To the newest revision, in one transaction; what is up to date stays as it is."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main() -> int:
    """Exit status 0, or a traceback that says what the database refused."""
    with engine().begin() as connection:
        upgrade(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
