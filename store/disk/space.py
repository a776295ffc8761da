"""Measures and frees disk space, kind by kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from store.disk.encoded_rows import ENCODED
from store.disk.job_records import EVENTS, LOGS
from store.disk.published import CHECKPOINTS, DATASETS, EXPORTS, MODELS, PREDICTIONS
from store.disk.uploads import UPLOADS
from store.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from store.disk.base import DiskKind, Item

KINDS: Final[Mapping[str, DiskKind]] = {
    kind.name: kind for kind in (DATASETS, MODELS, PREDICTIONS, CHECKPOINTS, UPLOADS, EXPORTS, LOGS, EVENTS, ENCODED)
}
#: Kinds that each machine has for itself.
LOCAL_KINDS: Final = (LOGS.name, ENCODED.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """Space that one kind takes, and the part of it that can be deleted."""

    kind: str
    count: int
    bytes: int
    expired_count: int
    expired_bytes: int


def measure(kinds: Iterable[str] = tuple(KINDS), *, older_than_days: float | None = None) -> list[DiskUse]:
    """Return the space of each kind.

    Items that are of no use for `older_than_days` count as expired; None: for the retention of their kind. Raises
    `StorageUnavailable`.
    """
    uses = []
    for name in kinds:
        items = list(KINDS[name].list_items())
        expired = _select_expired(KINDS[name], items, older_than_days)
        uses.append(
            DiskUse(
                kind=name,
                count=len(items),
                bytes=sum(item.bytes for item in items),
                expired_count=len(expired),
                expired_bytes=sum(item.bytes for item in expired),
            )
        )
    return uses


def clean(kinds: Iterable[str] = tuple(KINDS), *, older_than_days: float | None = None) -> dict[str, list[Item]]:
    """Delete the expired items of each kind, and return them.

    What was needed once and is not any more is never needed again. Raises as `measure` does.
    """
    deleted = {}
    for name in kinds:
        kind = KINDS[name]
        deleted[name] = _select_expired(kind, list(kind.list_items()), older_than_days)
        for item in deleted[name]:
            kind.delete(item.name)
    return deleted


def retention_days(kind: DiskKind) -> float | None:
    """Return the configured retention of a kind, or None without one."""
    return getattr(store_settings(), kind.setting) if kind.setting else None


def _select_expired(kind: DiskKind, items: Iterable[Item], older_than_days: float | None) -> list[Item]:
    days = retention_days(kind)
    if days is not None and older_than_days is not None:
        days = older_than_days
    now = datetime.now(UTC)
    return [item for item in items if item.is_expired(days, now=now)]
