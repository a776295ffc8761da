"""The bell: a Celery message that carries a job's id and means "look". Nothing is lost with it.

No configuration of Celery on Redis loses nothing, so none is asked to: messages are acknowledged when they arrive, no
result is kept, and the reconciler rings again for every row that waits.
"""

from __future__ import annotations

import logging
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from store.errors import BrokerUnavailable
from store.settings import store_settings

logger = logging.getLogger(__name__)

HANDLER = "run_job"
QUEUE = "plinth"
PATIENCE_SECONDS = 1.0
"""For connecting and for each answer: a request that rings must not wait for a broker that is frozen."""


def _broker_url() -> str:
    # Without one, a port that nobody listens on: Celery's own default is somebody else's broker.
    return store_settings().redis_url or "redis://127.0.0.1:1/0"


def _make() -> Celery:
    app = Celery("plinth", broker=_broker_url())
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "health_check_interval": 10,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "socket_timeout": 5,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "visibility_timeout": 3600,
        },
        result_backend=None,
        task_acks_late=False,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_publish_retry=False,
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_pool="threads",
        worker_prefetch_multiplier=1,
    )
    return app


celery_app = _make()


@cache
def _producer() -> Celery:
    """A second object for ringing: impatient, where the worker's connection must wait."""
    app = Celery("plinth-bell", broker=_broker_url(), set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "max_retries": 0,
            "retry_on_timeout": False,
            "socket_connect_timeout": PATIENCE_SECONDS,
            "socket_timeout": PATIENCE_SECONDS,
        },
        broker_connection_retry=False,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_publish_retry=False,
    )
    return app


def ring(job_id: str) -> None:
    """Say that a job waits; raises `BrokerUnavailable` within about two seconds."""
    try:
        _producer().send_task(HANDLER, (job_id,), retry=False, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        # A connection that failed half-way must not be used again.
        _producer.cache_clear()
        raise BrokerUnavailable(f"the broker does not answer: {type(error).__name__}") from error


def ring_if_possible(job_id: str) -> None:
    """Best effort: the reconciler rings again."""
    try:
        ring(job_id)
    except BrokerUnavailable as error:
        logger.warning("%s: %s", job_id, error)


def waiting() -> int:
    """Messages that nobody has taken; raises `BrokerUnavailable`."""
    try:
        with _producer().connection_for_write() as connection:
            return int(connection.default_channel.client.llen(QUEUE))
    except (OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer: {type(error).__name__}") from error
