"""Notifications: a message tells the workers to look at the queue of a lane.

Each lane has a queue of messages, as some workers serve one lane alone. Losing a message costs only latency.

Celery and Redis are imported on first use: a process that only predicts needs neither, and they cost it 17 MB and a
third of its start-up time.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from store.errors import BrokerUnavailable
from store.settings import BROKER_TIMEOUT_SECONDS, HANDLER, QUEUE, store_settings
from store.tables import Lane

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)


def queue_of(lane: Lane) -> str:
    """Return the name of the Celery queue of a lane."""
    return f"{QUEUE}-{lane}"


def notify(job_id: str, lane: Lane) -> None:
    """Tell the workers that a job is queued; raises `BrokerUnavailable` within about two seconds."""
    from store.celery_apps import BROKER_ERRORS

    try:
        producer_app().send_task(HANDLER, (job_id, lane), queue=queue_of(lane), retry=False, ignore_result=True)
    except BROKER_ERRORS as error:
        # A connection that failed half-way must not be used again.
        producer_app.cache_clear()
        raise BrokerUnavailable(f"the broker is unreachable: {type(error).__name__}") from error


def notify_if_possible(job_id: str, lane: Lane) -> None:
    """Tell the workers that a job is queued, or log why not.

    The reconciler notifies again. A process without a broker, such as a run, leaves it to its supervisor.
    """
    if not store_settings().redis_url:
        return
    try:
        notify(job_id, lane)
    except BrokerUnavailable as error:
        logger.warning("%s: %s", job_id, error)


def queue_lengths() -> dict[Lane, int]:
    """Return the number of messages in each lane that no worker has received; raises `BrokerUnavailable`."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    timeouts = {"socket_timeout": BROKER_TIMEOUT_SECONDS, "socket_connect_timeout": BROKER_TIMEOUT_SECONDS}
    try:
        with Redis.from_url(
            _to_redis_url(store_settings().redis_url), retry=Retry(NoBackoff(), 0), **timeouts
        ) as client:
            return {lane: int(client.llen(queue_of(lane))) for lane in Lane}
    except (RedisError, OSError, ValueError) as error:
        raise BrokerUnavailable(f"the broker is unreachable: {type(error).__name__}") from error


def queue_length() -> int:
    """Return the number of messages in all lanes that no worker has received; raises `BrokerUnavailable`."""
    return sum(queue_lengths().values())


def _to_redis_url(url: str) -> str:
    """Convert Celery's form of a Unix socket address to that of the Redis client.

    Others stay as they are.
    """
    parts = urlsplit(url)
    if parts.scheme != "redis+socket":
        return url
    return f"unix://{parts.path}?db={parse_qs(parts.query).get('virtual_host', ['0'])[0]}"


@cache
def producer_app() -> Celery:
    """Return the Celery app with which this process sends notifications."""
    from store import celery_apps

    return celery_apps.producer_app()
