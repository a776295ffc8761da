"""Webhook signatures by the Standard Webhooks scheme (https://www.standardwebhooks.com), version 1."""

from __future__ import annotations

import base64
import hashlib
import hmac

from store.webhooks.subscriptions import SECRET_PREFIX


def signed_headers(delivery_id: str, payload: bytes, *, secret: str, timestamp: int) -> dict[str, str]:
    """Return the headers by which a receiver verifies a delivery.

    `timestamp` is that of the attempt, in seconds since 1970.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    content = b"%b.%d.%b" % (delivery_id.encode(), timestamp, payload)
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
