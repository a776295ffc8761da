"""Routes of webhooks and their deliveries."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from app.dependencies import NAME, SessionDep
from app.http import links
from app.http.errors import problem_responses
from app.http.idempotency import Created, IdempotentRequestDep
from app.http.pagination import Cursor, Limit, ListOf
from app.http.request_body import JSONRoute
from app.webhooks.schemas import Delivery, DeliveryStateName, NewWebhook, Webhook, WebhookChange, WebhookCreate
from store.webhooks import deliveries, subscriptions

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"], route_class=JSONRoute)

WebhookId = Annotated[str, Path(pattern=NAME, max_length=100, examples=["whk_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"])]
DeliveryId = Annotated[str, Path(pattern=NAME, max_length=100, examples=["msg_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"])]
DeliveryState = Annotated[DeliveryStateName | None, Query(description="Only deliveries in this state.")]

_EXAMPLES: Any = {
    "jobs": {
        "summary": "Ends of jobs that make some models",
        "value": {
            "url": "https://example.com/plinth",
            "events": ["job.succeeded", "job.failed"],
            "models": ["digits*"],
        },
    }
}
_CHANGE_EXAMPLES: Any = {"on": {"summary": "Send events again", "value": {"is_enabled": True}}}
WebhookBody = Annotated[WebhookCreate, Body(openapi_examples=_EXAMPLES)]
ChangeBody = Annotated[WebhookChange, Body(openapi_examples=_CHANGE_EXAMPLES)]


@router.post("", status_code=201, response_model=NewWebhook, responses={201: {"links": links.WEBHOOK}})
def create_webhook(body: WebhookBody, session: SessionDep, once: IdempotentRequestDep) -> Response:
    """Create a webhook, to which events are sent from now on.

    They are signed by the Standard Webhooks scheme. The secret is in this response alone.
    """

    def create() -> Created:
        row = subscriptions.create(session, **body.model_dump())
        created = NewWebhook(**Webhook.of(row).model_dump(), secret=row.secret)
        return created, {"Location": f"/api/v1/webhooks/{row.id}"}

    def redact(webhook: BaseModel) -> BaseModel:
        return webhook.model_copy(update={"secret": None})

    return once.respond(session, body=body.model_dump_json().encode(), status=201, create=create, redact=redact)


@router.get("")
def list_webhooks(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> ListOf[Webhook]:
    """List all webhooks, without their secrets."""
    return ListOf.of(subscriptions.listing(session, limit=limit, cursor=cursor), Webhook.of)


@router.get("/{webhook_id}", responses=problem_responses("not_found"))
def read_webhook(webhook_id: WebhookId, session: SessionDep) -> Webhook:
    """Read a webhook, with the reason if the service has disabled it."""
    return Webhook.of(subscriptions.get(session, webhook_id))


@router.patch("/{webhook_id}", responses=problem_responses("not_found"))
def change_webhook(webhook_id: WebhookId, body: ChangeBody, session: SessionDep) -> Webhook:
    """Change a webhook, or enable it again. Deliveries that wait are sent then."""
    return Webhook.of(subscriptions.change(session, webhook_id, body.values()))


@router.delete("/{webhook_id}", status_code=204, responses=problem_responses("not_found"))
def delete_webhook(webhook_id: WebhookId, session: SessionDep) -> None:
    """Delete a webhook with its deliveries."""
    subscriptions.delete(session, webhook_id)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=Delivery,
    responses={202: {"links": links.DELIVERY}, **problem_responses("not_found", "conflict")},
)
def test_webhook(webhook_id: WebhookId, session: SessionDep, once: IdempotentRequestDep) -> Response:
    """Send an event of the type `webhook.test`. Poll the delivery for its result."""

    def create() -> Created:
        return Delivery.of(deliveries.create_test(session, webhook_id)), {}

    return once.respond(session, body=b"", status=202, create=create)


@router.get("/{webhook_id}/deliveries", responses=problem_responses("not_found"))
def list_webhook_deliveries(
    webhook_id: WebhookId, session: SessionDep, limit: Limit = 50, cursor: Cursor = None, state: DeliveryState = None
) -> ListOf[Delivery]:
    """List the deliveries of a webhook, newest first."""
    page = deliveries.listing(session, webhook_id, limit=limit, cursor=cursor, state=state)
    return ListOf.of(page, Delivery.of)


@router.get("/{webhook_id}/deliveries/{delivery_id}", responses=problem_responses("not_found"))
def read_webhook_delivery(webhook_id: WebhookId, delivery_id: DeliveryId, session: SessionDep) -> Delivery:
    """Read a delivery: its state, attempts and last error."""
    return Delivery.of(deliveries.get(session, webhook_id, delivery_id))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/retry",
    status_code=202,
    responses=problem_responses("not_found", "conflict"),
)
def retry_webhook_delivery(webhook_id: WebhookId, delivery_id: DeliveryId, session: SessionDep) -> Delivery:
    """Send a delivery again, now and with all attempts; its `webhook-id` stays the same."""
    return Delivery.of(deliveries.retry(session, webhook_id, delivery_id))
