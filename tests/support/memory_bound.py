"""Requests with a limit on their time, and on the memory of the API process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.api_process import MIB

if TYPE_CHECKING:
    from tests.support.api_process import ApiProcess

#: Ten times what the slowest takes on an idle machine: sending 60 MB, decoding twenty large images.
MAX_SECONDS: Final = 15.0
#: Additional memory: a body of up to 64 MiB, twice while it is assembled, and some millions of parsed values.
MAX_BYTES: Final = 400 * MIB
WAYS: Final[list[dict[str, str]]] = [{}, {"X-Anything": "unusual"}]
WAY_NAMES: Final = ["fast path", "route"]


def ask(api: ApiProcess, model: str, body: bytes, kind: str, way: dict[str, str]) -> tuple[int, Any]:
    """Return the status and the response; fails beyond `MAX_SECONDS` or `MAX_BYTES`."""
    Path(f"/proc/{api.pid}/clear_refs").write_text("5")  # Resets the peak to the current memory.
    before, began = api.rss_bytes(), time.monotonic()
    status, _, answer = api.request("POST", f"/predict/{model}", headers={"Content-Type": kind, **way}, body=body)
    assert time.monotonic() - began < MAX_SECONDS
    assert _peak_bytes(api) - before < MAX_BYTES
    return status, json.loads(answer)


def problem_text(status: int, answer: Any) -> str:
    """Return all text of a problem document."""
    assert 400 <= status < 500, answer
    assert answer["status"] == status
    return " ".join([answer["detail"], *(finding["message"] for finding in answer.get("errors", []))])


def _peak_bytes(api: ApiProcess) -> int:
    status = Path(f"/proc/{api.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
