"""Garbage collection: deletes expired items of disk space, scratch folders and uploads.

Everything on this machine alone is collected by every worker, the rest by the oldest one.
"""

from __future__ import annotations

import logging
import shutil

from store import disk, jobs, uploads
from store.database import reading, transaction
from store.disk import thinning
from store.errors import NotFound
from store.settings import store_settings
from store.webhooks import deliveries
from worker.run_folder import all_run_folders

log = logging.getLogger(__name__)


def collect_garbage() -> None:
    """Delete expired blobs, events, uploads and deliveries, and thin long histories."""
    _clean([kind for kind in disk.KINDS if kind not in disk.LOCAL_KINDS])
    with transaction() as session:
        expired = uploads.expire(session)
        deliveries.delete_old(session, days=store_settings().webhook_retention_days)
    for upload_id in expired:
        (store_settings().home / "incoming" / upload_id).unlink(missing_ok=True)
    thin_histories()


def thin_histories() -> None:
    """Thin the events and curves of long jobs, one short transaction at a time."""
    with reading() as session:
        job_ids = thinning.long_jobs(session)
    for job_id in job_ids:
        deleted = thinning.MAX_DELETED_EVENTS
        while deleted == thinning.MAX_DELETED_EVENTS:
            with transaction() as session:
                deleted = thinning.thin_events(session, job_id)
        with transaction() as session:
            thinning.thin_curves(session, job_id)


def collect_local_garbage() -> None:
    """Delete expired log files, and scratch folders of ended runs, on this machine."""
    _clean(disk.LOCAL_KINDS)
    _delete_scratch_folders()


def _clean(kinds: list[str] | tuple[str, ...]) -> None:
    for kind, items in disk.clean(kinds).items():
        for item in items:
            log.info("deleted %s of %d bytes from %s: no longer needed", item.name, item.bytes, kind)


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
