"""The database engine, sessions, and actions after a commit."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import CursorResult, Engine, create_engine, event, func, select
from sqlalchemy.orm import Session, sessionmaker

from store.errors import StorageFull
from store.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Update
    from sqlalchemy.engine import ExceptionContext

logger = logging.getLogger(__name__)

AFTER_COMMIT = "after_commit"
ONLY_READS = "plinth_only_reads"


def make_engine(url: str) -> Engine:
    """Create an engine.

    SQLite in WAL mode with one writer at a time, or PostgreSQL through psycopg.
    """
    if not url.startswith("sqlite"):
        return create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": 30.0})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _raise_storage_full)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy begins transactions; the driver's own implicit BEGIN would be deferred.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    # A deferred transaction that reads first and writes later fails at once if another one wrote in between.
    only_reads = connection.get_execution_options().get(ONLY_READS, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _raise_storage_full(context: ExceptionContext) -> None:
    if "disk is full" in str(context.original_exception):
        raise StorageFull("no disk space is left for the database") from context.original_exception


@cache
def engine() -> Engine:
    """Return the engine of this process, made from its settings on the first call."""
    settings = store_settings()
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return make_engine(settings.database_url)


@cache
def sessions() -> sessionmaker[Session]:
    """Return the session factory of this process."""
    return sessionmaker(engine(), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """Yield a session that commits at the end, or rolls back on any error."""
    with sessions().begin() as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """Yield a read-only session: it neither waits for writers nor blocks them.

    Its writes are rolled back.
    """
    with engine().connect().execution_options(**{ONLY_READS: True}) as connection, Session(connection) as session:
        yield session


def lock(session: Session, name: str) -> None:
    """Hold the lock of this name until the transaction ends.

    No-op on SQLite, which has one writer at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def update_rows(session: Session, statement: Update) -> int:
    """Run a conditional update and return the number of matching rows."""
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Run `action` after this transaction has committed; a rollback discards it."""
    session.info.setdefault(AFTER_COMMIT, []).append(action)


@event.listens_for(Session, "after_commit")
def _run_actions(session: Session) -> None:
    for action in session.info.pop(AFTER_COMMIT, ()):
        try:
            action()
        except Exception:
            # The rows are committed; actions after a commit are best effort by contract.
            logger.exception("an action after a commit failed")


@event.listens_for(Session, "after_soft_rollback")
def _discard_actions(session: Session, _previous: Any) -> None:
    session.info.pop(AFTER_COMMIT, None)
