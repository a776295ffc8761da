"""Models that the present request may use.

The gateway sets them by the key of the request; every look-up of a model for a request checks them.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from app.serving.checkpoints import JOB_ID
from app.serving.errors import ModelNotAllowed
from store import models
from store.api_keys import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

#: Patterns of names; None for all models, as outside of requests.
_PATTERNS: Final[ContextVar[tuple[str, ...] | None]] = ContextVar("model_patterns", default=None)


def restrict_models(patterns: tuple[str, ...] | None) -> None:
    """Set the patterns of names for the rest of this request."""
    _PATTERNS.set(patterns)


def check_model(name: str) -> None:
    """Raise `ModelNotAllowed` if the key of the request is not for this model.

    `name` is the name, or another reference to a model without version and alias.
    """
    patterns = _PATTERNS.get()
    if not is_allowed(name, patterns):
        raise ModelNotAllowed(name, patterns or ())


def is_allowed(name: str, patterns: tuple[str, ...] | None) -> bool:
    """Return whether a model matches the patterns of a key.

    The id of a job is no name: it means a checkpoint, whose model has none yet.
    """
    return patterns is None or (matches(name, patterns) and not JOB_ID.fullmatch(name))


def allowed_names(names: Sequence[str]) -> list[str]:
    """Return the models that the key of the request is for.

    They are names, or references with a version or alias.
    """
    patterns = _PATTERNS.get()
    return [name for name in names if is_allowed(name.partition("@")[0], patterns)]


def listed_names(session: Session) -> list[str] | None:
    """Return the names of models that the key of the request is for.

    None if it is for all models.
    """
    return None if _PATTERNS.get() is None else allowed_names(models.names(session))
