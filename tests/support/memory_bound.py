"""Requests that may not be answered, but must not cost much either: in time, and in memory of the process asked."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.api_process import MIB

if TYPE_CHECKING:
    from tests.support.api_process import ApiProcess

MOST_SECONDS: Final = 15.0
"""Ten times what the slowest takes when nobody else is at work: to send 60 MB, to decode twenty large pictures."""
MOST_BYTES: Final = 400 * MIB
"""Above what is there: a body of up to 64 MiB, twice while it is put together, and some millions of parsed values."""
WAYS: Final[list[dict[str, str]]] = [{}, {"X-Anything": "unusual"}]
WAY_NAMES: Final = ["short way", "ordinary way"]


def ask(api: ApiProcess, model: str, body: bytes, kind: str, way: dict[str, str]) -> tuple[int, Any]:
    """The answer, in bounded time and memory."""
    Path(f"/proc/{api.pid}/clear_refs").write_text("5")  # The peak is that of now.
    before, began = api.rss_bytes(), time.monotonic()
    status, _, answer = api.request("POST", f"/predict/{model}", headers={"Content-Type": kind, **way}, body=body)
    assert time.monotonic() - began < MOST_SECONDS
    assert _peak_bytes(api) - before < MOST_BYTES
    return status, json.loads(answer)


def told(status: int, answer: Any) -> str:
    """What the problem says, all of it."""
    assert 400 <= status < 500, answer
    assert answer["status"] == status
    return " ".join([answer["detail"], *(item["message"] for item in answer.get("errors", []))])


def _peak_bytes(api: ApiProcess) -> int:
    status = Path(f"/proc/{api.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
