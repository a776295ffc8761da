"""Options of a watch, and feedback about answers of a model."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from store.adaptation import feedback
from store.database import transaction

#: All options of a watch that promotes.
WATCH_OPTIONS: Final[dict[str, Any]] = {
    "drift": "auto",
    "gate": "auto",
    "then": "promote",
    "alias": "production",
    "dataset": None,
    "min_feedback": 40,
    "guard_hours": 24,
    "training": {},
    "max_rows": 10_000,
    "max_bytes": 2**28,
    "max_days": 30,
}


def add_labels(
    model: str, label: str, count: int, *, version: int | None = None, predicted: str | None = None, start: int = 0
) -> None:
    """Store labels of images, of answered requests if there is a version."""
    with transaction() as session:
        for number in range(start, start + count):
            request: dict[str, Any] = {"request_id": f"r{number}", "version": version} if version else {}
            content = json.dumps({"image": str(number)}).encode()
            feedback.add(
                session,
                model,
                content=content,
                input_sha256=hashlib.sha256(content).hexdigest(),
                label=label,
                **request,
                predicted=predicted,
            )
