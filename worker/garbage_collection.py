"""Files that belong to nothing any more. The rows are the truth: what none of them stands for is rubbish.

Among the blobs only after a day: a younger one may be a model that is published and whose row is about to be written.
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
KINDS = ("models", "datasets", "runs", "imports", "exports")


def sweep() -> None:
    """One round over blobs, scratch folders and uploads that were never finished."""
    for key in _aged_keys():
        with reading() as session:
            is_wanted = _stands_for(session, key)
        if not is_wanted:
            log.info("nothing stands for %s: removed", key)
            blobs().delete(key)
    _sweep_scratch()
    with transaction() as session:
        expired = uploads.expire(session)
    for upload_id in expired:
        (store_settings().home / "incoming" / upload_id).unlink(missing_ok=True)


def _aged_keys() -> set[str]:
    """`kind/id` of a day ago or more; an id tells when it was made (RFC 9562, section 5.7)."""
    limit_milliseconds = (time.time() - DAY_SECONDS) * 1000
    tops = {"/".join(key.split("/")[:2]) for kind in KINDS for key in blobs().keys(kind)}
    return {top for top in tops if int(top.rpartition("_")[2][:12], 16) < limit_milliseconds}


def _stands_for(session: Session, key: str) -> bool:
    kind, _, identifier = key.partition("/")
    try:
        match kind:
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


def _sweep_scratch() -> None:
    """What a run that was killed together with its supervisor left behind."""
    for folder in all_run_folders():
        try:
            with reading() as session:
                job = jobs.get(session, folder.parent.name)
        except NotFound:
            shutil.rmtree(folder.parent, ignore_errors=True)
            continue
        if job.state != "running" or str(job.fence) != folder.name:
            shutil.rmtree(folder, ignore_errors=True)
