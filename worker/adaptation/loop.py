"""The periodic step of all watches, done by the oldest worker."""

from __future__ import annotations

import logging

from store import models
from store.adaptation import records, watches
from store.database import reading, transaction
from store.errors import NotFound
from worker.adaptation.drift import check_drift
from worker.adaptation.guard import guard_promotion
from worker.adaptation.round import advance

log = logging.getLogger(__name__)


def adapt_models() -> None:
    """Read new records of every watched model, and do the next step of its loop."""
    with reading() as session:
        ids = [row.id for row in watches.listing(session)]
    for watch_id in ids:
        try:
            _adapt(watch_id)
        except Exception:  # whatever it is, one model must not keep the others from their turn
            log.exception("the watch %s failed", watch_id)


def _adapt(watch_id: str) -> None:
    with transaction() as session:
        watch = watches.lock_watch(session, watch_id)
        if watch is None:
            return
        try:
            reference = f"{watch.model_name}@{watch.options['alias']}"
            version = models.version(session, reference).version
        except NotFound:
            version = models.version(session, watch.model_name).version
        records.trim(session, watch)
        check_drift(session, watch, version)
        guard_promotion(session, watch, version)
        advance(session, watch, version)
