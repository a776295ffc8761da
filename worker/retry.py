"""Retries of database writes while the database is unavailable or its disk is full."""

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

#: Errors of a database that is unavailable for now.
DATABASE_ERRORS = (OperationalError, InterfaceError, StorageFull)
RETRY_SECONDS = 1.0


def retrying_transaction(write: Callable[[Session], T]) -> T:
    """Run `write` in a transaction, again while the database is unavailable.

    Raises the last error after `database_patience_seconds` of the worker's settings. Only for writes that may run
    twice: a commit whose reply was lost is repeated.
    """

    def attempt() -> T:
        with transaction() as session:
            return write(session)

    return retry_while_unavailable(attempt, for_seconds=worker_settings().database_patience_seconds)


def retry_while_unavailable(action: Callable[[], T], *, for_seconds: float) -> T:
    """Run `action` once a second until the database is available.

    Raises the last error after `for_seconds`.
    """
    deadline = time.monotonic() + for_seconds
    while True:
        try:
            return action()
        except DATABASE_ERRORS as error:
            if time.monotonic() > deadline:
                raise
            log.warning("the database cannot be written, retrying: %s", driver_error(error))
        time.sleep(RETRY_SECONDS)


def driver_error(error: Exception) -> object:
    """Return the driver's error alone.

    SQLAlchemy's message would log the statement and its values as well.
    """
    return getattr(error, "orig", error)
