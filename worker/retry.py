"""Waiting for a database that is away, or full, for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from store.errors import StorageFull

T = TypeVar("T")
log = logging.getLogger(__name__)

UNREACHABLE = (OperationalError, InterfaceError, StorageFull)
PAUSE_SECONDS = 1.0


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
