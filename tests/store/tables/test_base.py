"""Timestamps and the clock of the database, in SQLite and in PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Float, select, type_coerce

from store.database import reading, transaction
from store.tables import Job
from store.tables.base import clock
from tests.support.factories import queue_job

pytestmark = pytest.mark.usefixtures("database")

#: A float64 of seconds since 1970 has steps of a quarter of a microsecond; julianday() of SQLite counts milliseconds.
MILLISECOND = timedelta(milliseconds=1)


def test_the_clock_of_the_database_is_that_of_its_host() -> None:
    before = datetime.now(UTC)
    with reading() as session:
        now = session.scalar(select(clock()))
    assert now is not None
    assert before - MILLISECOND <= now <= datetime.now(UTC) + MILLISECOND


def test_the_clock_counts_seconds_from_now() -> None:
    with reading() as session:
        earlier, later = session.execute(select(clock(-90.5), clock(90.5))).one()
    assert timedelta(0) <= later - earlier - timedelta(seconds=181) < timedelta(seconds=5)


def test_a_timestamp_is_stored_as_seconds_and_read_in_utc() -> None:
    at = datetime.fromisoformat("2026-11-28T10:00:00.123456+02:00")
    job_id = queue_job()
    with transaction() as session:
        session.get_one(Job, job_id).created_at = at
    with reading() as session:
        stored, seconds = session.execute(
            select(Job.created_at, type_coerce(Job.created_at, Float(53)).label("seconds"))
        ).one()
    assert (stored, stored.tzinfo) == (at, UTC)
    assert seconds == at.timestamp()
