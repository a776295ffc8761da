"""Errors of serving; `app.http.errors` alone maps them to a status and a problem document.

ServingError
├── ModelNotFound     no model, version or alias has this name
├── ModelNotAllowed   the key of the request is for other models
├── NotStreamable     this request has no single text to stream
├── QueueFull         the queue of the model has no room
├── DeadlineExceeded  the deadline of the request passed before it was run
└── ResponseTooLarge  the outputs exceed the size limit of a response
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ServingError(Exception):
    """Base class of the errors below."""


class ModelNotFound(ServingError, LookupError):
    """No model, version or alias has this name."""

    def __init__(self, reference: str, names: Sequence[str]) -> None:
        """`names` lists the references that exist."""
        super().__init__(f"there is no model {reference!r}")
        self.reference = reference
        self.names = names


class ModelNotAllowed(ServingError):
    """The key of the request is for other models."""

    def __init__(self, name: str, patterns: Sequence[str]) -> None:
        """`patterns` are those of the names of models that it is for."""
        super().__init__(f"the key is not for the model {name!r}")
        self.name = name
        self.patterns = patterns


class NotStreamable(ServingError):
    """The response cannot be streamed.

    The model generates no text, or the request has not exactly one input.
    """


class QueueFull(ServingError):
    """The queue of a model has no room for a request."""

    def __init__(self, waiting: int, retry_seconds: float) -> None:
        """Describe the queue.

        `waiting` is the number of inputs in the queue, or of texts that are being generated; in `retry_seconds` there
        should be room.
        """
        super().__init__(f"{waiting} inputs are waiting")
        self.waiting = waiting
        self.retry_seconds = retry_seconds


class DeadlineExceeded(ServingError):
    """The deadline of a request passed before it was run."""


class ResponseTooLarge(ServingError):
    """The outputs of a request exceed the size limit of a response."""

    def __init__(self, answered: int, total: int, limit_bytes: int) -> None:
        """`answered` of `total` inputs had been answered when the limit was exceeded."""
        super().__init__(f"the outputs of {answered} of {total} inputs exceed {limit_bytes} bytes")
        self.answered = answered
        self.total = total
        self.limit_bytes = limit_bytes
