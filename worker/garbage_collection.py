"""Garbage collection: deletes files that no row refers to.

Blobs are deleted only after a day: a younger one may be a published model whose row is about to be written.
"""

from __future__ import annotations

import logging
import shutil
import time
from typing import TYPE_CHECKING

from store import datasets, jobs, models, uploads
from store.blobs import blobs
from store.database import reading, transaction
from store.errors import NotFound
from store.settings import store_settings
from worker.run_folder import all_run_folders

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
COLLECTED_PREFIXES = ("models", "datasets", "runs", "imports", "exports")


def collect_garbage() -> None:
    """Delete unreferenced blobs, scratch folders of ended runs, and expired uploads."""
    for key in _old_keys():
        with reading() as session:
            is_referenced = _is_referenced(session, key)
        if not is_referenced:
            log.info("no row refers to %s: deleted", key)
            blobs().delete(key)
    _delete_scratch_folders()
    with transaction() as session:
        expired = uploads.expire(session)
    for upload_id in expired:
        (store_settings().home / "incoming" / upload_id).unlink(missing_ok=True)


def _old_keys() -> set[str]:
    """Return the `prefix/id` keys that are a day old or more.

    An id holds its time (RFC 9562, section 5.7).
    """
    limit_milliseconds = (time.time() - DAY_SECONDS) * 1000
    keys = {"/".join(path.split("/")[:2]) for prefix in COLLECTED_PREFIXES for path in blobs().keys(prefix)}
    return {key for key in keys if int(key.rpartition("_")[2][:12], 16) < limit_milliseconds}


def _is_referenced(session: Session, key: str) -> bool:
    prefix, _, identifier = key.partition("/")
    try:
        match prefix:
            case "models":
                return models.version(session, identifier).key == key
            case "datasets":
                return datasets.get(session, identifier).key == key
            case "exports":
                return models.version(session, identifier).id == identifier
            case "imports":
                return jobs.needs_blob(session, key)
            case _:
                return jobs.get(session, identifier).state in ("queued", "running")
    except NotFound:
        return False


def _delete_scratch_folders() -> None:
    """Delete the scratch folders of runs that were killed together with their supervisor."""
    for folder in all_run_folders():
        try:
            with reading() as session:
                job = jobs.get(session, folder.parent.name)
        except NotFound:
            shutil.rmtree(folder.parent, ignore_errors=True)
            continue
        if job.state != "running" or str(job.fence) != folder.name:
            shutil.rmtree(folder, ignore_errors=True)
