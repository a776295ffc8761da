"""Actions after a commit, read-only sessions, a full disk, and ids."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from store import api_keys, jobs
from store.database import after_commit, engine, reading, transaction
from store.errors import StorageFull
from store.ids import new_id
from tests.support.settings import forget_settings


@pytest.mark.usefixtures("database")
def test_a_rollback_discards_the_actions_after_a_commit() -> None:
    calls: list[str] = []
    with transaction() as session:
        after_commit(session, lambda: calls.append("committed"))
    with pytest.raises(ZeroDivisionError), transaction() as session:
        after_commit(session, lambda: calls.append("rolled back"))
        raise ZeroDivisionError
    with transaction() as session:
        session.execute(text("SELECT 1"))
    assert calls == ["committed"]


@pytest.mark.usefixtures("database")
def test_an_action_after_a_commit_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the notification failed")

    with transaction() as session:
        api_keys.create(session, name="committed")
        after_commit(session, fail)
    with reading() as session:
        assert len(api_keys.listing(session, limit=5, cursor=None).items) == 1
    assert "the notification failed" in caplog.text


@pytest.mark.usefixtures("database")
def test_a_reader_does_not_wait_for_a_writer() -> None:
    with transaction() as writer:
        api_keys.create(writer, name="not committed yet")
        counts: list[int] = []

        def read() -> None:
            with reading() as session:
                counts.append(len(api_keys.listing(session, limit=5, cursor=None).items))

        thread = threading.Thread(target=read)
        thread.start()
        thread.join(5)
        assert counts == [0]


def test_a_full_disk_raises_storage_full_until_there_is_space(
    new_sqlite: Callable[[], str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_DATABASE_URL", new_sqlite())
    forget_settings()

    def allow(pages: int) -> None:
        # Beyond the limit SQLite raises the same error as on a full file system.
        with engine().connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def submit(*, times: int) -> None:
        for _ in range(times):
            with transaction() as session:
                jobs.submit(session, kind="finetune", spec={"padding": "x" * 20_000})

    allow(100)
    with pytest.raises(StorageFull):
        submit(times=100)
    allow(1_000_000)
    submit(times=1)


def test_ids_are_unique_and_sort_by_creation() -> None:
    ids = [new_id("job") for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {len(identifier) for identifier in ids} == {len("job_") + 32}
    assert {identifier[len("job_") + 12] for identifier in ids} == {"7"}
