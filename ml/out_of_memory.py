"""Recognizes errors that are a lack of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Parts of messages of libraries, in lower case.
PHRASES: Final = ("out of memory", "can't allocate memory", "cannot allocate memory", "unable to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or a cause of it, is a lack of memory.

    Libraries often say so only in the message.
    """
    return any(
        isinstance(cause, MemoryError) or any(phrase in str(cause).lower() for phrase in PHRASES)
        for cause in causes(error)
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so forth."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
