"""The base class of tables, timestamps, and the clock of the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Float, MetaData, TypeDecorator, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.functions import FunctionElement


class Timestamp(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as seconds since 1970.

    The same arithmetic in SQLite and PostgreSQL.
    """

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> float | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert a datetime to seconds."""
        return None if value is None else value.timestamp()

    def process_result_value(self, value: float | None, dialect: Any) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert seconds to a datetime."""
        return None if value is None else datetime.fromtimestamp(value, UTC)


class clock(FunctionElement[datetime]):  # noqa: N801 - an SQL function, named like one
    """The time of the database, `seconds` from now.

    Leases of several hosts must share one clock.
    """

    type = Timestamp()
    inherit_cache = True

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(literal(seconds, Float(53)))


@compiles(clock, "postgresql")
def _clock_postgresql(element: clock, compiler: Any, **options: Any) -> str:
    return f"(extract(epoch from clock_timestamp())::double precision + {compiler.process(element.clauses, **options)})"


@compiles(clock, "sqlite")
def _clock_sqlite(element: clock, compiler: Any, **options: Any) -> str:
    return f"((julianday('now') - 2440587.5) * 86400.0 + {compiler.process(element.clauses, **options)})"


class Base(DeclarativeBase):
    """Base class of all tables.

    JSON columns hold plain objects and lists. The naming convention lets Alembic find constraints again.
    """

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: Timestamp(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }
