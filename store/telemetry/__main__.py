"""`python -m store.telemetry`: check that traces can be sent.

Prints JSON; exits with 1 if they cannot.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from store.telemetry.configuration import ENDPOINT, TracingUnavailable, create_tracer, find_endpoint


def check() -> dict[str, Any]:
    """Return whether traces are sent as configured (`ok`), a `detail`, and a `fix` if not."""
    address = find_endpoint()
    if address is None:
        return {"ok": True, "detail": f"off; set {ENDPOINT} to send them", "fix": None}
    try:
        tracer = create_tracer("plinth-doctor")
    except TracingUnavailable as error:
        problem, _, fix = str(error).partition(". ")
        return {"ok": False, "detail": problem, "fix": fix}
    if not tracer.can_send():
        fix = "Start the collector, or correct the address and OTEL_EXPORTER_OTLP_HEADERS."
        return {"ok": False, "detail": f"{address} does not accept traces", "fix": fix}
    return {"ok": True, "detail": f"sent to {address}", "fix": None}


if __name__ == "__main__":
    # The exporter logs each attempt.
    logging.disable()
    result = check()
    sys.stdout.write(json.dumps(result) + "\n")
    sys.exit(0 if result["ok"] else 1)
