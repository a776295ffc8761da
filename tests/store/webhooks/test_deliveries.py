"""The outbox of events, and the repetition of deliveries."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from store import datasets, jobs, models
from store.database import transaction
from store.errors import Conflict, NotFound
from store.models import NewModel
from store.tables import JobKind, Webhook, WebhookDelivery
from store.webhooks import deliveries, subscriptions
from store.webhooks.deliveries import BACKOFF_SECONDS, MAX_PER_WEBHOOK, Attempt
from store.webhooks.event_types import EVENT_TYPES, is_known_pattern, matches_type
from store.webhooks.outbox import emit

pytestmark = pytest.mark.usefixtures("database")

URL = "https://example.com/plinth"


def subscribe(events: Sequence[str] = ("*",), **filters: Any) -> str:
    with transaction() as session:
        return subscriptions.create(session, url=URL, events=events, **filters).id


def list_sent(webhook_id: str | None = None) -> list[dict[str, Any]]:
    """Return the events in the outbox, in order."""
    with transaction() as session:
        query = select(WebhookDelivery).order_by(WebhookDelivery.id)
        if webhook_id:
            query = query.where(WebhookDelivery.webhook_id == webhook_id)
        return [json.loads(row.payload) for row in session.scalars(query)]


def emit_one(model: str = "digits") -> None:
    with transaction() as session:
        emit(session, "alias.set", {"model": model, "alias": "production", "version": 1}, model=model)


def claim() -> Attempt:
    with transaction() as session:
        (attempt,) = deliveries.claim_due(session, limit=10)
    return attempt


def make_due() -> None:
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1)))


def read(attempt: Attempt) -> WebhookDelivery:
    with transaction() as session:
        return deliveries.get(session, attempt.webhook_id, attempt.delivery_id)


def fail(attempt: Attempt, **options: Any) -> str | None:
    with transaction() as session:
        return deliveries.fail(session, attempt, **{"error": "connection refused", "disable_after_days": 5, **options})


def new_model(name: str) -> NewModel:
    return NewModel(
        id=f"mdl_{name}",
        name=name,
        task="image_classification",
        architectures={"image": "cnn"},
        parameters=1,
        bytes=1,
        metrics={},
        labels=None,
        formats=[],
        files=[],
        key=f"models/{name}",
        manifest_sha256="0",
        parent_id=None,
    )


def test_everything_that_happens_to_data_a_job_and_a_model_is_reported_in_order() -> None:
    subscribe()
    with transaction() as session:
        dataset_id = datasets.create(session, name="shades", sources=[]).id
        validation = jobs.listing(session, limit=1, cursor=None, matching=jobs.JobFilter(kinds=[JobKind.VALIDATE]))
        claim = jobs.claim(session, validation.items[0].id, worker="tester")
        assert claim is not None
        jobs.finish_validation(session, claim, ready=True, report={}, summary={}, key="x", size=1)
    with transaction() as session:
        job = jobs.submit(session, kind="finetune", spec={}, dataset_id=dataset_id, model_name="digits")
        run = jobs.claim(session, job.id, worker="tester")
        assert run is not None
        jobs.report(
            session, run, progress={"step": 1}, metrics={"loss": 1.0}, step=1, events=[("log", {"message": "a"})]
        )
        jobs.succeed(session, run, model=new_model("digits"))
    with transaction() as session:
        models.set_alias(session, "digits", "production", 1)
        models.remove_alias(session, "digits", "production")
        models.delete(session, "digits", 1)
    with transaction() as session:
        datasets.delete(session, dataset_id)
    events = list_sent()
    assert [event["type"] for event in events] == [
        "dataset.created",
        "job.queued",
        "job.running",
        "job.succeeded",
        "dataset.ready",
        "job.queued",
        "job.running",
        "job.succeeded",
        "model.version.created",
        "alias.set",
        "alias.removed",
        "model.version.deleted",
        "dataset.deleted",
    ]
    assert events[4]["data"]["name"] == "shades"
    assert events[7]["data"] | {"id": ""} == {
        "id": "",
        "kind": "finetune",
        "model": "digits",
        "dataset": "shades@1",
        "parent": None,
        "state": "succeeded",
    }
    assert events[8]["data"]["version"] == 1
    assert all(datetime.fromisoformat(event["timestamp"]).tzinfo for event in events)


def test_a_failure_and_a_rejection_say_why() -> None:
    subscribe(["job.failed", "job.cancelled", "dataset.rejected"])
    with transaction() as session:
        datasets.create(session, name="shades", sources=[])
        job = jobs.listing(session, limit=1, cursor=None, matching=jobs.JobFilter(kinds=[JobKind.VALIDATE])).items[0]
        claim = jobs.claim(session, job.id, worker="tester")
        assert claim is not None
        jobs.fail(session, claim, error={"code": "bad", "message": "no rows", "hint": None, "user_fault": True})
        other = jobs.submit(session, kind="finetune", spec={}, model_name="digits")
        jobs.cancel(session, other.id)
    events = list_sent()
    assert [event["type"] for event in events] == ["job.failed", "dataset.rejected", "job.cancelled"]
    assert events[0]["data"]["error"]["message"] == "no rows"
    assert events[1]["data"]["error"]["message"] == "no rows"


def test_a_change_that_is_rolled_back_is_not_reported() -> None:
    subscribe()
    with pytest.raises(RuntimeError), transaction() as session:
        emit(session, "alias.set", {}, model="digits")
        session.flush()
        raise RuntimeError
    assert list_sent() == []


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["digits", "digits-2", "reviews", "faces"]),
        ({"models": ["digits*"]}, ["digits", "digits-2"]),
        ({"models": ["reviews"], "datasets": ["fa*"]}, ["reviews", "faces"]),
        ({"datasets": ["faces"]}, ["faces"]),
        ({"events": ["dataset.*"]}, ["faces"]),
        ({"events": ["model.*", "job.*"]}, []),
    ],
)
def test_a_webhook_gets_the_events_that_it_is_for(filters: dict[str, Any], names: list[str]) -> None:
    webhook_id = subscribe(**filters)
    with transaction() as session:
        for name in ("digits", "digits-2", "reviews"):
            emit(session, "alias.set", {"name": name}, model=name)
        emit(session, "dataset.ready", {"name": "faces"}, dataset="faces")
    assert [event["data"]["name"] for event in list_sent(webhook_id)] == names


def test_groups_are_those_of_the_types() -> None:
    assert all(is_known_pattern(pattern) for pattern in (*EVENT_TYPES, "job.*", "model.*", "model.version.*", "*"))
    assert not any(is_known_pattern(pattern) for pattern in ("job", "jo*", "job.*.x", "", "nothing.*", "webhook.test"))
    assert not matches_type("job.failed", "job.succeeded")


def test_a_claimed_delivery_is_claimed_by_no_other_sender_until_the_claim_ends() -> None:
    subscribe()
    emit_one()
    first = claim()
    with transaction() as session:
        assert deliveries.claim_due(session, limit=10) == []
    make_due()  # as after the death of the sender
    second = claim()
    assert (second.delivery_id, second.number) == (first.delivery_id, 2)
    # The first sender was only slow: its result does not count any more.
    assert fail(first) is None
    assert read(second).last_error is None
    with transaction() as session:
        deliveries.succeed(session, second, status=200)
    assert read(second).state == "delivered"


def test_a_failed_delivery_is_repeated_with_growing_waits_and_given_up_after_three_days() -> None:
    subscribe()
    emit_one()
    waits = []
    for _ in range(len(BACKOFF_SECONDS)):
        attempt = claim()
        fail(attempt, status=500)
        row = read(attempt)
        assert row.state == "pending"
        waits.append((row.next_attempt_at - datetime.now(UTC)).total_seconds())
        make_due()
    assert all(0.85 * expected < wait < 1.15 * expected for wait, expected in zip(waits, BACKOFF_SECONDS, strict=True))
    last = claim()
    fail(last, status=500)
    row = read(last)
    assert (row.state, row.attempts, row.last_status) == ("failed", len(BACKOFF_SECONDS) + 1, 500)
    assert 3 * 86_400 < sum(BACKOFF_SECONDS) < 4 * 86_400
    with transaction() as session:
        deliveries.retry(session, last.webhook_id, last.delivery_id)
    again = claim()
    fail(again)
    assert read(again).state == "pending", "all attempts are made again"


def test_a_receiver_that_asks_to_wait_is_left_alone_for_that_time() -> None:
    subscribe()
    emit_one()
    attempt = claim()
    fail(attempt, status=429, wait_seconds=1000)
    assert (read(attempt).next_attempt_at - datetime.now(UTC)).total_seconds() > 900


def test_a_webhook_that_fails_for_days_is_disabled_and_can_be_enabled_again() -> None:
    webhook_id = subscribe()
    emit_one()
    assert fail(claim()) is None
    with transaction() as session:
        session.execute(update(Webhook).values(failing_since=datetime.now(UTC) - timedelta(days=5, seconds=1)))
    make_due()
    reason = fail(claim())
    assert reason == "no delivery succeeded for 5 days; last: connection refused"
    make_due()
    emit_one("after")
    with transaction() as session:
        assert subscriptions.get(session, webhook_id).disabled_reason == reason
        assert deliveries.claim_due(session, limit=10) == []
        with pytest.raises(Conflict, match="is_enabled"):
            deliveries.create_test(session, webhook_id)
    assert len(list_sent()) == 1, "nothing is kept for a disabled webhook"
    with transaction() as session:
        webhook = subscriptions.change(session, webhook_id, {"is_enabled": True})
        assert (webhook.disabled_reason, webhook.failing_since) == (None, None)
    assert claim().webhook_id == webhook_id, "what waited is sent"


def test_a_success_ends_the_time_of_failures() -> None:
    webhook_id = subscribe()
    emit_one()
    fail(claim())
    make_due()
    attempt = claim()
    with transaction() as session:
        assert subscriptions.get(session, webhook_id).failing_since is not None
        deliveries.succeed(session, attempt, status=204)
    with transaction() as session:
        assert subscriptions.get(session, webhook_id).failing_since is None


def test_an_address_that_is_gone_disables_its_webhook_at_once() -> None:
    subscribe()
    emit_one()
    assert "the address is gone" in (fail(claim(), status=410, error="the receiver responded with status 410") or "")


def test_a_slow_webhook_does_not_hold_up_the_others() -> None:
    slow = subscribe()
    for _ in range(2 * MAX_PER_WEBHOOK):
        emit_one()
    fast = subscribe()
    emit_one()
    with transaction() as session:
        attempts = deliveries.claim_due(session, limit=16)
    assert [attempt.webhook_id for attempt in attempts] == [slow] * MAX_PER_WEBHOOK + [fast]
    with transaction() as session:
        assert deliveries.claim_due(session, limit=16, in_progress=[slow] * MAX_PER_WEBHOOK) == []


def test_a_long_backlog_of_one_webhook_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_CANDIDATES", 2 * MAX_PER_WEBHOOK)
    slow = subscribe()
    for _ in range(3 * MAX_PER_WEBHOOK):
        emit_one()
    fast = subscribe()
    emit_one()
    with transaction() as session:
        attempts = deliveries.claim_due(session, limit=16, in_progress=[slow] * MAX_PER_WEBHOOK)
    assert [attempt.webhook_id for attempt in attempts] == [fast]
    with transaction() as session:
        assert [attempt.webhook_id for attempt in deliveries.claim_due(session, limit=16)] == [slow] * MAX_PER_WEBHOOK


def test_nothing_is_due_for_a_webhook_that_is_disabled() -> None:
    webhook_id = subscribe()
    emit_one()
    for is_enabled in (True, False):
        with transaction() as session:
            subscriptions.change(session, webhook_id, {"is_enabled": is_enabled})
            assert deliveries.has_due(session) is is_enabled


def test_old_deliveries_are_deleted_and_pending_ones_stay() -> None:
    subscribe()
    emit_one()
    attempt = claim()
    with transaction() as session:
        deliveries.succeed(session, attempt, status=200)
    emit_one("pending")
    with transaction() as session:
        assert deliveries.delete_old(session, days=1) == 0
        session.execute(update(WebhookDelivery).values(created_at=datetime(2020, 1, 1, tzinfo=UTC)))
        done = WebhookDelivery.state == "delivered"
        session.execute(update(WebhookDelivery).where(done).values(finished_at=datetime(2020, 1, 1, tzinfo=UTC)))
        assert deliveries.delete_old(session, days=1) == 1
    assert [event["data"]["model"] for event in list_sent()] == ["pending"]


def test_a_deleted_webhook_takes_its_deliveries_along() -> None:
    webhook_id = subscribe()
    emit_one()
    with transaction() as session:
        subscriptions.delete(session, webhook_id)
    assert list_sent() == []
    with transaction() as session, pytest.raises(NotFound):
        subscriptions.get(session, webhook_id)


def test_the_secret_is_in_no_representation() -> None:
    subscribe()
    emit_one()
    attempt = claim()
    assert attempt.secret.startswith("whsec_")
    assert attempt.secret not in f"{attempt!r} {attempt}"


@pytest.mark.parametrize("action", [deliveries.retry, deliveries.get])
def test_a_delivery_of_another_webhook_is_not_found(action: Callable[..., Any]) -> None:
    subscribe()
    emit_one()
    attempt = claim()
    other = subscribe()
    with transaction() as session, pytest.raises(NotFound):
        action(session, other, attempt.delivery_id)
