"""What happens around a commit, and what a session that only reads may do."""

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
def test_what_follows_a_commit_is_forgotten_after_a_rollback() -> None:
    done: list[str] = []
    with transaction() as session:
        after_commit(session, lambda: done.append("committed"))
    with pytest.raises(ZeroDivisionError), transaction() as session:
        after_commit(session, lambda: done.append("rolled back"))
        raise ZeroDivisionError
    with transaction() as session:
        session.execute(text("SELECT 1"))
    assert done == ["committed"]


@pytest.mark.usefixtures("database")
def test_what_follows_a_commit_sees_it_and_may_fail_without_harm(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the bell is broken")

    with transaction() as session:
        api_keys.create(session, name="kept")
        after_commit(session, fail)
    with reading() as session:
        assert len(api_keys.listing(session, limit=5, cursor=None).items) == 1
    assert "the bell is broken" in caplog.text


@pytest.mark.usefixtures("database")
def test_a_reader_waits_for_no_writer() -> None:
    with transaction() as writer:
        api_keys.create(writer, name="not committed yet")
        seen: list[int] = []

        def read() -> None:
            with reading() as session:
                seen.append(len(api_keys.listing(session, limit=5, cursor=None).items))

        thread = threading.Thread(target=read)
        thread.start()
        thread.join(5)
        assert seen == [0]


def test_a_full_disk_is_named_and_writing_goes_on_when_there_is_space(
    new_sqlite: Callable[[], str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_DATABASE_URL", new_sqlite())
    forget_settings()

    def allow(pages: int) -> None:
        # SQLite then gives the very error that it gives where the file system has no more blocks.
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


def test_ids_are_unique_and_sort_by_the_order_they_were_made_in() -> None:
    ids = [new_id("job") for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {len("job_") + 32}
    assert {each[len("job_") + 12] for each in ids} == {"7"}
