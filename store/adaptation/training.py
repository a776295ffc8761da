"""Spec of the fine-tuning by which a watch makes the next version of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store import jobs
from store.tables import JobKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from store.tables import Model


def make_finetune_spec(session: Session, model: Model, *, dataset: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec that continues a version, with the changes of its watch."""
    task = jobs.get(session, model.job_id).spec.get("task") or {"name": model.task}
    return {
        "task": task,
        **changes,
        "kind": JobKind.FINETUNE,
        "dataset": dataset,
        "start_from": f"{model.name}@{model.version}",
        "model": model.name,
    }
