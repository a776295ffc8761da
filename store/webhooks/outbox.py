"""The outbox of webhooks: an event becomes deliveries in the transaction of what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import select

from store.ids import new_id
from store.tables import Dataset, Job, Webhook, WebhookDelivery
from store.webhooks.event_types import matches_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

#: Events of a job that tell its state; a request to cancel is none.
_REQUESTED: Final = "requested"


def emit(
    session: Session, event_type: str, data: Mapping[str, Any], *, model: str | None = None, dataset: str | None = None
) -> None:
    """Add a delivery for each webhook that gets this event.

    Args:
        session: Session of the transaction that makes the change.
        event_type: One of `EVENT_TYPES`.
        data: What happened, as JSON values.
        model: Name of the model that it is about.
        dataset: Name of the dataset that it is about.
    """
    webhooks = session.scalars(select(Webhook).where(Webhook.is_enabled)).all()
    for webhook in webhooks:
        if any(matches_type(event_type, pattern) for pattern in webhook.events) and _is_about(webhook, model, dataset):
            session.add(new_delivery(webhook.id, event_type, data))


def new_delivery(webhook_id: str, event_type: str, data: Mapping[str, Any]) -> WebhookDelivery:
    """Return a delivery whose body is that of the Standard Webhooks scheme."""
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    payload = orjson.dumps({"type": event_type, "timestamp": timestamp, "data": data}).decode()
    return WebhookDelivery(id=new_id("msg"), webhook_id=webhook_id, type=event_type, payload=payload)


def emit_job_states(session: Session, job_id: str, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Emit the states among the events of a job."""
    states = [data for kind, data in entries if kind == "state" and _REQUESTED not in data]
    if not states or session.scalar(select(Webhook.id).where(Webhook.is_enabled).limit(1)) is None:
        return
    columns = (Job.kind, Job.model_name, Job.parent_id, Dataset.name, Dataset.version)
    query = select(*columns).outerjoin(Dataset, Dataset.id == Job.dataset_id).where(Job.id == job_id)
    kind, model, parent_id, dataset, version = session.execute(query).one()
    for data in states:
        event = {
            "id": job_id,
            "kind": kind,
            "model": model,
            "dataset": f"{dataset}@{version}" if dataset else None,
            "parent": parent_id,
            **data,
        }
        emit(session, f"job.{data['state']}", event, model=model, dataset=dataset)


def emit_dataset(session: Session, event: str, dataset_id: str | None) -> None:
    """Emit an event of a dataset, with its state as it is now."""
    dataset = session.get(Dataset, dataset_id, populate_existing=True) if dataset_id else None
    if dataset is None:
        return
    data = {
        "id": dataset.id,
        "name": dataset.name,
        "version": dataset.version,
        "state": dataset.state,
        "task": dataset.task,
        "error": dataset.error,
    }
    emit(session, f"dataset.{event}", data, dataset=dataset.name)


def _is_about(webhook: Webhook, model: str | None, dataset: str | None) -> bool:
    """Return whether an event is about what a webhook is for."""
    if webhook.models is None and webhook.datasets is None:
        return True
    return _matches(model, webhook.models) or _matches(dataset, webhook.datasets)


def _matches(name: str | None, patterns: Sequence[str] | None) -> bool:
    return name is not None and patterns is not None and any(fnmatchcase(name, pattern) for pattern in patterns)
