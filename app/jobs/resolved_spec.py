"""Specs that were checked and completed, ready to become a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSpec:
    """A valid spec with all defaults, its references pinned to versions."""

    kind: str
    spec: dict[str, Any]
    #: The spec as it was sent, with pinned references; None if it cannot be cloned.
    request: dict[str, Any] | None
    dataset_id: str | None
    #: Name of the model that the job registers; None if it registers none.
    model_name: str | None
