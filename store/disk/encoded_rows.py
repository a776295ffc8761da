"""Encoded rows of datasets on this machine, which runs map from files."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from store.database import reading
from store.disk.base import DiskKind, Item
from store.settings import store_settings
from store.tables import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Folder in `PLINTH_HOME`. The name of what is in it begins with the digest of the dataset.
ENCODED_ROWS: Final = "cache/encoded"
LOCK: Final = ".lock"


def _folder() -> Path:
    return store_settings().home / ENCODED_ROWS


def _list() -> Iterator[Item]:
    """Yield the rows of each dataset and encoders; every worker has its own.

    A run that reads rows sets their time of change, and may read on when they are deleted.
    """
    digest = Dataset.summary["digest"].as_string()
    with reading() as session:
        live = set(session.scalars(select(digest).where(Dataset.deleted_at.is_(None), Dataset.state == "ready")))
    for path in _folder().glob("*"):
        if path.suffix == LOCK and path.with_suffix("").exists():
            continue
        try:
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            size = sum(file.stat().st_size for file in files if file.is_file())
            changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue
        start = path.name.partition("-")[0]
        is_orphan = not any(name and name.startswith(start) for name in live)
        yield Item(name=path.name, bytes=size, unneeded_since=changed_at, is_orphan=is_orphan)


def _delete(name: str) -> None:
    path = _folder() / name
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    path.with_suffix(LOCK).unlink(missing_ok=True)


ENCODED = DiskKind(
    name="encoded",
    summary="Encoded rows of datasets on this machine, which the next run makes again.",
    list_items=_list,
    delete=_delete,
    setting="encoded_retention_days",
)
