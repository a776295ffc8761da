"""Entry point of Alembic; the target is the tables of `store`."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from store.database import engine
from store.tables import Base
from store.tables.base import Timestamp


def render(kind: str, value: Any, _context: Any) -> str | Literal[False]:
    """Render a type in a revision as its type in the database."""
    return "sa.Float(53)" if kind == "type" and isinstance(value, Timestamp) else False


def compare(_context: Any, _column: Any, _inspected: Any, _database_type: Any, model_type: Any) -> bool | None:
    """Report timestamps, stored as numbers, as unchanged; leave other types to Alembic."""
    return False if isinstance(model_type, Timestamp) else None


def run(connection: object) -> None:
    """Compare or migrate the database of `connection`."""
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


shared_connection = context.config.attributes.get("connection")
if shared_connection is not None:
    run(shared_connection)
else:
    with engine().connect() as connection:
        run(connection)
        connection.commit()
