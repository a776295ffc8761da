"""Schemas of webhooks and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypeAliasType

from ml.config import Config
from store.settings import store_settings
from store.webhooks.addresses import MAX_URL_CHARACTERS, check_url
from store.webhooks.event_types import EVENT_TYPES, is_known_pattern

if TYPE_CHECKING:
    from store.tables import Webhook as WebhookRow
    from store.tables import WebhookDelivery

MAX_PATTERNS: Final = 100

DeliveryStateName = TypeAliasType("DeliveryStateName", Literal["pending", "delivered", "failed"])


def _check_url(url: str) -> str:
    check_url(url, store_settings().webhook_networks())
    return url


def _check_event(pattern: str) -> str:
    if not is_known_pattern(pattern):
        raise ValueError(
            f"there is no event {pattern[:80]!r}; known: {', '.join(EVENT_TYPES)}, a group as job.*, and *"
        )
    return pattern


Url = Annotated[
    str,
    Field(
        max_length=MAX_URL_CHARACTERS,
        examples=["https://example.com/plinth"],
        description="`https://` or `http://`. Private addresses are refused, unless "
        "`PLINTH_WEBHOOK_ALLOWED_NETWORKS` lists their network.",
    ),
    AfterValidator(_check_url),
]
EventPattern = Annotated[str, Field(max_length=100, examples=["job.*"]), AfterValidator(_check_event)]
NamePattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*][A-Za-z0-9._*-]*$", max_length=100, examples=["digits*"])]
Events = Annotated[list[EventPattern], Field(min_length=1, max_length=MAX_PATTERNS)]
Patterns = Annotated[list[NamePattern], Field(min_length=1, max_length=MAX_PATTERNS)]


class WebhookCreate(Config):
    """A webhook to create."""

    url: Url
    events: Events = Field(["*"], description="Types of events, groups such as `job.*` and `dataset.*`, or `*`.")
    models: Patterns | None = Field(
        None, description="Send events about models of these names, with `*` for any text; null: no limit."
    )
    datasets: Patterns | None = Field(None, description="The same for datasets; with both, either is enough.")


class WebhookChange(Config):
    """Fields of a webhook to change; others stay."""

    url: Url | None = None
    events: Events | None = None
    models: Patterns | None = Field(None, description="null: no limit.")
    datasets: Patterns | None = Field(None, description="null: no limit.")
    is_enabled: bool | None = Field(None, description="false: events are not sent, and not kept for later.")

    def values(self) -> dict[str, Any]:
        """Return the columns to change; null is a value only for filters."""
        sent = self.model_dump(include=self.model_fields_set)
        return {name: value for name, value in sent.items() if value is not None or name in ("models", "datasets")}


class Webhook(BaseModel):
    """An address to which events are sent."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    models: list[str] | None
    datasets: list[str] | None
    is_enabled: bool
    disabled_reason: str | None = Field(description="Reason for which the service disabled it.")
    failing_since: datetime | None = Field(description="First failure since the last delivery that succeeded.")
    created_at: datetime

    @classmethod
    def of(cls, row: WebhookRow) -> Self:
        """Convert a row, without its secret."""
        return cls(
            id=row.id,
            url=row.url,
            events=row.events,
            models=row.models,
            datasets=row.datasets,
            is_enabled=row.is_enabled,
            disabled_reason=row.disabled_reason,
            failing_since=row.failing_since,
            created_at=row.created_at,
        )


class NewWebhook(Webhook):
    """A webhook that was just created, with its secret."""

    secret: str | None = Field(
        None,
        description="Key of the signatures, shown only once. Null for a repeated `Idempotency-Key`.",
        examples=["whsec_..."],
    )


class Delivery(BaseModel):
    """An event on its way to a webhook; its id is the `webhook-id`."""

    id: str
    object: Literal["delivery"] = "delivery"
    webhook: str
    type: str = Field(description="Type of the event.")
    state: DeliveryStateName
    attempts: int
    next_attempt_at: datetime | None = Field(description="Null once it is delivered or has failed.")
    last_status: int | None = Field(description="Status of the last response.")
    last_error: str | None
    payload: dict[str, Any] = Field(description="The body: `type`, `timestamp` and `data`.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        """Convert a row."""
        return cls.model_validate(
            {
                "id": row.id,
                "webhook": row.webhook_id,
                "type": row.type,
                "state": row.state,
                "attempts": row.attempts,
                "next_attempt_at": row.next_attempt_at if row.state == "pending" else None,
                "last_status": row.last_status,
                "last_error": row.last_error,
                "payload": orjson.loads(row.payload),
                "created_at": row.created_at,
                "finished_at": row.finished_at,
            }
        )
