"""Waiting for a database that is away, or full, for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from store.database import transaction
from store.errors import StorageFull
from worker.settings import worker_settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

T = TypeVar("T")
log = logging.getLogger(__name__)

UNREACHABLE = (OperationalError, InterfaceError, StorageFull)
PAUSE_SECONDS = 1.0


def retrying_transaction(write: Callable[[Session], T]) -> T:
    """Run `write` in a transaction, again while the database is unavailable.

    Gives up after `database_patience_seconds` of the worker's settings, with the last error. Only for transitions that
    may run twice: a commit whose answer was lost is repeated.
    """

    def attempt() -> T:
        with transaction() as session:
            return write(session)

    return retry_while_unavailable(attempt, for_seconds=worker_settings().database_patience_seconds)


def retry_while_unavailable(action: Callable[[], T], *, for_seconds: float) -> T:
    """Do it, again each second while the database does not answer; its last error after `for_seconds`.

    A commit whose answer was lost is done twice by this: only for transitions that a second time change nothing.
    """
    deadline = time.monotonic() + for_seconds
    while True:
        try:
            return action()
        except UNREACHABLE as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the database cannot be written, trying again: %s", cause_of(error))
        time.sleep(PAUSE_SECONDS)


def cause_of(error: Exception) -> object:
    """The words of the driver alone: SQLAlchemy's hold the statement and its values as well."""
    return getattr(error, "orig", error)
