"""`python -m worker.webhooks`: send webhooks, and nothing else.

For deployments whose workers have no way out to the network.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Any

from worker.control_channel import end_with_starter
from worker.webhooks.sender import WebhookSender


def main() -> int:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    end_with_starter()
    stop = threading.Event()

    def end(*_: Any) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with WebhookSender():
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
