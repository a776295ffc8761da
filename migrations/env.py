"""Alembic's entry: the tables of `store` are what the database should be."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from store.database import engine
from store.tables import Base
from store.tables.base import Timestamp


def render(kind: str, value: Any, _context: Any) -> str | Literal[False]:
    """A revision names what lies in the database, not the classes of today."""
    return "sa.Float(53)" if kind == "type" and isinstance(value, Timestamp) else False


def compare(_context: Any, _column: Any, _inspected: Any, _found: Any, known: Any) -> bool | None:
    """A time is a number below; anything else is for Alembic to judge."""
    return False if isinstance(known, Timestamp) else None


def run(connection: object) -> None:
    """Compare with, or move, the database of `connection`."""
    context.configure(
        connection=connection,  # type: ignore[arg-type]  # Alembic calls this with its own connection
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=render,
        compare_type=compare,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with engine().connect() as connection:
        run(connection)
        connection.commit()
