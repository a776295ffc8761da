"""The bell: a message that carries a job's id and means "look". Nothing is lost with it.

Celery and Redis are imported when they are first needed: a process that only predicts needs neither, and they cost it
17 MB and a third of its start.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from store.errors import BrokerUnavailable
from store.settings import BROKER_TIMEOUT_SECONDS, HANDLER, QUEUE, store_settings

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)


def notify(job_id: str) -> None:
    """Say that a job waits; raises `BrokerUnavailable` within about two seconds."""
    from store.celery_apps import BROKER_ERRORS

    try:
        producer_app().send_task(HANDLER, (job_id,), retry=False, ignore_result=True)
    except BROKER_ERRORS as error:
        # A connection that failed half-way must not be used again.
        producer_app.cache_clear()
        raise BrokerUnavailable(f"the broker does not answer: {type(error).__name__}") from error


def notify_if_possible(job_id: str) -> None:
    """Best effort: the reconciler rings again."""
    try:
        notify(job_id)
    except BrokerUnavailable as error:
        logger.warning("%s: %s", job_id, error)


def queue_length() -> int:
    """Messages that nobody has taken; raises `BrokerUnavailable`."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    timeouts = {"socket_timeout": BROKER_TIMEOUT_SECONDS, "socket_connect_timeout": BROKER_TIMEOUT_SECONDS}
    try:
        with Redis.from_url(_plain(store_settings().redis_url), retry=Retry(NoBackoff(), 0), **timeouts) as client:
            return int(client.llen(QUEUE))
    except (RedisError, OSError, ValueError) as error:
        raise BrokerUnavailable(f"the broker does not answer: {type(error).__name__}") from error


def _plain(url: str) -> str:
    """The address as Redis' own client reads it; Celery has a spelling of its own for a socket."""
    parts = urlsplit(url)
    if parts.scheme != "redis+socket":
        return url
    return f"unix://{parts.path}?db={parse_qs(parts.query).get('virtual_host', ['0'])[0]}"


@cache
def producer_app() -> Celery:
    """This process's own."""
    from store import celery_apps

    return celery_apps.producer_app()
