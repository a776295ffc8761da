"""The two Celery objects: one that the worker listens with, and an impatient one that rings.

No configuration of Celery on Redis loses nothing, so none is asked to: messages are acknowledged when they arrive, no
result is kept, and the reconciler rings again for every row that waits.
"""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from store.settings import BROKER_TIMEOUT_SECONDS, QUEUE, store_settings

BROKER_ERRORS = (OperationalError, RedisError, OSError)
"""What a broker that is not well raises."""
NOWHERE = "redis://127.0.0.1:1/0"
"""Where no broker is named: Celery's own default is somebody else's."""


def worker_app() -> Celery:
    """Patient: it waits for its broker as long as it takes."""
    app = Celery("plinth", broker=store_settings().redis_url or NOWHERE)
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
    """Impatient: one try, and soon."""
    app = Celery("plinth-bell", broker=store_settings().redis_url or NOWHERE, set_as_current=False)
    app.conf.update(
        broker_connection_retry=False,
        broker_transport_options={
            "max_retries": 0,
            "retry_on_timeout": False,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
        },
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_publish_retry=False,
    )
    return app
