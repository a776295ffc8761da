"""Notifications, with a broker that runs, is killed, hangs and is restarted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.local.broker import EmbeddedBroker
from store import jobs, notifications
from store.database import transaction
from store.errors import BrokerUnavailable
from store.tables import JobKind, Lane
from tests.support.settings import forget_settings

#: The time that a request may wait for a broker.
MAX_WAIT_SECONDS = 2.5


@pytest.fixture
def broker(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "broker")
    monkeypatch.setenv("PLINTH_REDIS_URL", broker.start())
    forget_settings()
    yield broker
    broker.stop()


def test_every_notification_is_one_message_of_its_lane(broker: EmbeddedBroker) -> None:
    for _ in range(3):
        notifications.notify("job_1", Lane.COMPUTING)
    notifications.notify("job_2", Lane.IMPORTING)
    assert notifications.queue_length() == 4
    lengths = {Lane.COMPUTING: 3, Lane.IMPORTING: 1, Lane.COORDINATING: 0}
    assert notifications.queue_lengths() == lengths


def test_a_dead_broker_is_an_error_soon_and_is_used_again_after_a_restart(broker: EmbeddedBroker) -> None:
    notifications.notify("job_1", Lane.COMPUTING)
    broker.kill()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        notifications.notify("job_2", Lane.COMPUTING)
    assert time.monotonic() - started < MAX_WAIT_SECONDS
    broker.start()
    notifications.notify("job_3", Lane.COMPUTING)
    assert notifications.queue_length() >= 1


def test_a_hanging_broker_is_an_error_soon(broker: EmbeddedBroker) -> None:
    notifications.notify("job_1", Lane.COMPUTING)
    broker.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                notifications.notify("job_2", Lane.COMPUTING)
            assert time.monotonic() - started < MAX_WAIT_SECONDS
        with pytest.raises(BrokerUnavailable):
            notifications.queue_length()
    finally:
        broker.process.send_signal(signal.SIGCONT)
    notifications.notify("job_3", Lane.COMPUTING)
    assert notifications.queue_length() >= 2


def test_workers_are_notified_after_the_commit_and_not_before(database: str, broker: EmbeddedBroker) -> None:
    with transaction() as session:
        jobs.submit(session, kind=JobKind.FINETUNE, spec={})
        assert notifications.queue_length() == 0
    assert notifications.queue_length() == 1
    with pytest.raises(ZeroDivisionError), transaction() as session:
        jobs.submit(session, kind=JobKind.FINETUNE, spec={})
        raise ZeroDivisionError
    assert notifications.queue_length() == 1


def test_a_job_can_be_submitted_without_a_broker(database: str) -> None:
    started = time.monotonic()
    with transaction() as session:
        job = jobs.submit(session, kind=JobKind.FINETUNE, spec={})
    assert time.monotonic() - started < MAX_WAIT_SECONDS
    assert job.state == "queued"
