"""Webhook methods of the client: create, list, change, delete, test; deliveries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from plinth.client.transport import API, Transport, drop_none
from plinth.client.types import Delivery, Webhook, build

POLL_SECONDS: Final = 0.5


class Webhooks:
    """Webhooks of a service, at `plinth.webhooks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] = ("*",),
        models: Sequence[str] | None = None,
        datasets: Sequence[str] | None = None,
    ) -> Webhook:
        """Create a webhook; only this response contains its `secret`.

        Args:
            url: Address to which events are sent.
            events: Types such as `job.succeeded`, groups such as `dataset.*`, or `*`.
            models: Names of models, with `*` for any text; events about others are not sent.
            datasets: The same for datasets; with both, either is enough.
        """
        body = {"url": url, "events": list(events), "models": models, "datasets": datasets}
        # Never retried: the response to a repeated request would not contain the secret.
        return build(Webhook, self._transport.send("POST", f"{API}/webhooks", json=drop_none(body)).json())

    def list(self) -> Sequence[Webhook]:
        """List all webhooks, newest first, without their secrets."""
        return self._transport.list_items(Webhook, f"{API}/webhooks", limit=None)

    def get(self, webhook_id: str) -> Webhook:
        """Read a webhook."""
        return build(Webhook, self._transport.get(f"{API}/webhooks/{webhook_id}"))

    def change(self, webhook_id: str, **fields: Any) -> Webhook:
        """Change `url`, `events`, `models`, `datasets` or `is_enabled`; others stay."""
        path = f"{API}/webhooks/{webhook_id}"
        return build(Webhook, self._transport.send("PATCH", path, json=fields, retry=True).json())

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        self._transport.delete(f"{API}/webhooks/{webhook_id}")

    def deliveries(self, webhook_id: str, *, state: str | None = None, limit: int | None = 50) -> Sequence[Delivery]:
        """List deliveries, newest first; `state` is `pending`, `delivered` or `failed`."""
        path = f"{API}/webhooks/{webhook_id}/deliveries"
        return self._transport.list_items(Delivery, path, limit=limit, state=state)

    def retry(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery again, now and with all attempts."""
        path = f"{API}/webhooks/{webhook_id}/deliveries/{delivery_id}/retry"
        return build(Delivery, self._transport.send("POST", path, retry=True).json())

    def test(self, webhook_id: str, *, timeout_seconds: float = 30.0) -> Delivery:
        """Send a test event; return its delivery after the first attempt.

        After `timeout_seconds` without one, it is returned as it is.
        """
        delivery = build(Delivery, self._transport.post(f"{API}/webhooks/{webhook_id}/test"))
        path = f"{API}/webhooks/{webhook_id}/deliveries/{delivery.id}"
        deadline = time.monotonic() + timeout_seconds
        while delivery.state == "pending" and delivery.last_error is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            delivery = build(Delivery, self._transport.get(path))
        return delivery
