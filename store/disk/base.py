"""Items that take disk space, and since when they are not needed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from store.blobs import Blobs

#: Age from which a blob that no row refers to is deleted: a younger one may be about to get its row.
ORPHAN_DAYS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that takes space."""

    #: Key of a blob, name of a file, or id of a job.
    name: str
    bytes: int
    #: None while something needs it.
    unneeded_since: datetime | None = None
    #: Whether no row refers to it. Then it is deleted after `ORPHAN_DAYS`, whatever the retention is.
    is_orphan: bool = False

    def is_expired(self, retention_days: float | None, *, now: datetime) -> bool:
        """Return whether nothing has needed the item for that long.

        None keeps all but orphans.
        """
        days = ORPHAN_DAYS if self.is_orphan else retention_days
        if self.unneeded_since is None or days is None:
            return False
        return now - self.unneeded_since >= timedelta(days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskKind:
    """A kind of items: lists them, and deletes one by its name."""

    name: str
    summary: str
    list_items: Callable[[], Iterable[Item]]
    delete: Callable[[str], None]
    #: Setting of `StoreSettings` with the retention in days; None for what is deleted by its owner alone.
    setting: str | None = None


def list_blobs(storage: Blobs, prefix: str, unneeded_since: Mapping[str, datetime | None]) -> Iterator[Item]:
    """Yield the trees `prefix/id` with their sizes.

    `unneeded_since` maps each key that a row refers to; all others are orphans, as old as their id.
    """
    sizes: dict[str, int] = {}
    for path, size in storage.sizes(prefix):
        key = "/".join(path.split("/")[:2])
        sizes[key] = sizes.get(key, 0) + size
    for key, size in sizes.items():
        is_orphan = key not in unneeded_since
        since = time_of_id(key) if is_orphan else unneeded_since[key]
        yield Item(name=key, bytes=size, unneeded_since=since, is_orphan=is_orphan)


def time_of_id(key: str) -> datetime:
    """Return the time of the id at the end of a key.

    Ids are UUIDv7 (RFC 9562, section 5.7).
    """
    return datetime.fromtimestamp(int(key.rpartition("_")[2][:12], 16) / 1000, UTC)
