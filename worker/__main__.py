"""`python -m worker`: receive notifications, run jobs, and reconcile the database."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from contextlib import nullcontext
from typing import Any

from celery.signals import worker_shutting_down

from store.celery_apps import worker_app
from store.notifications import queue_of
from worker.control_channel import end_with_starter
from worker.handlers import register
from worker.jobs.entrypoint import configure_logging
from worker.reconciler import Reconciler
from worker.settings import worker_settings
from worker.supervisor import Supervisor
from worker.webhooks.sender import WebhookSender


def main() -> int:
    """Run until SIGTERM.

    Then every run saves a checkpoint and exits, and so does this process.
    """
    configure_logging()
    end_with_starter()
    settings = worker_settings()
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    supervisor = Supervisor(name, settings)
    app = worker_app()
    register(app, supervisor)

    def drain(**_: Any) -> None:
        supervisor.drain()

    worker_shutting_down.connect(drain)
    with Reconciler(name, settings), WebhookSender() if settings.send_webhooks else nullcontext():
        worker = app.Worker(
            hostname=f"plinth@{name}",
            pool="threads",
            queues=[queue_of(lane) for lane in supervisor.lanes],
            # A message that finds no slot free occupies no thread, so one more than slots is left for sweeps.
            concurrency=settings.job_slots + settings.import_slots + 1,
            loglevel="INFO",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        supervisor.wake()
        worker.start()
    supervisor.close()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
