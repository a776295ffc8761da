"""Types of the events that webhooks get."""

from __future__ import annotations

from typing import Final

#: What the events of a type report.
EVENT_TYPES: Final = {
    "job.queued": "A job waits for a worker, also again after a crash.",
    "job.running": "A worker has started a job.",
    "job.succeeded": "A job has ended with its result.",
    "job.failed": "A job has ended with an error.",
    "job.cancelled": "A job was canceled.",
    "dataset.created": "A version of a dataset was uploaded or derived, and is being checked.",
    "dataset.ready": "A dataset can be used.",
    "dataset.rejected": "A dataset has problems, which its report lists.",
    "dataset.deleted": "A version of a dataset was deleted.",
    "model.version.created": "A version of a model was registered.",
    "model.version.deleted": "A version of a model was deleted.",
    "alias.set": "An alias of a model was created or moved.",
    "alias.removed": "An alias of a model was removed.",
}
#: Sent on request alone, to any webhook.
TEST_EVENT: Final = "webhook.test"


def is_known_pattern(pattern: str) -> bool:
    """Return whether a type, `job.*` or `*` names a type of event."""
    return any(matches_type(event_type, pattern) for event_type in EVENT_TYPES)


def matches_type(event_type: str, pattern: str) -> bool:
    """Return whether a pattern names a type of event or its group."""
    group = pattern.removesuffix("*")
    return event_type == pattern or (pattern.endswith("*") and group in ("", *_groups(event_type)))


def _groups(event_type: str) -> list[str]:
    """Return the groups of a type: `model.` and `model.version.` of `model.version.created`."""
    parts = event_type.split(".")[:-1]
    return [".".join(parts[: index + 1]) + "." for index in range(len(parts))]
