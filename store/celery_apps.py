"""The two Celery apps.

One with which a worker receives notifications, and one that sends them without retries.

Every configuration of Celery on Redis can lose messages, so none is relied upon: messages are acknowledged on receipt,
no result is stored, and the reconciler notifies again of every queued job.
"""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from store.settings import BROKER_TIMEOUT_SECONDS, store_settings

#: Exceptions of a broker that is unreachable or fails.
BROKER_ERRORS = (OperationalError, RedisError, OSError)
#: Used without a broker setting, as Celery's default may be the broker of another service.
UNREACHABLE_URL = "redis://127.0.0.1:1/0"


def worker_app() -> Celery:
    """Create the app of a worker, which waits for its broker without limit."""
    app = Celery("plinth", broker=store_settings().redis_url or UNREACHABLE_URL)
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
        task_ignore_result=True,
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_pool="threads",
        worker_prefetch_multiplier=1,
    )
    return app


def producer_app() -> Celery:
    """Create the app that sends notifications: one attempt, with a short timeout."""
    app = Celery("plinth-producer", broker=store_settings().redis_url or UNREACHABLE_URL, set_as_current=False)
    app.conf.update(
        broker_connection_retry=False,
        broker_transport_options={
            "max_retries": 0,
            "retry_on_timeout": False,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
        },
        task_ignore_result=True,
        task_publish_retry=False,
    )
    return app
