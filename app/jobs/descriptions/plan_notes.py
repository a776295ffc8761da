"""Notes of a plan: what a dataset changes about a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.jobs.descriptions.expected_duration import ExpectedDuration, expect_duration
from ml.data.dataset import DatasetSummary
from ml.preprocessing.image_sizes import describe_reduction, expect_size
from ml.schedule import Schedule
from store.tables import Dataset

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.jobs.resolved_spec import ResolvedSpec

IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Course of a training as far as it is known before the start."""

    #: What few rows and large images change, as the log of the job will say it.
    notes: list[str] = field(default_factory=list)
    epochs: int | None = None
    #: Epochs while validation improves; None where training ends with `epochs`.
    max_epochs: int | None = None
    batch_size: int | None = None
    duration: ExpectedDuration | None = None


def describe_plan(session: Session, resolved: ResolvedSpec) -> Plan:
    """Return what few rows and large images change; nothing for jobs that train no model."""
    dataset = session.get(Dataset, resolved.dataset_id) if resolved.dataset_id else None
    if resolved.kind not in ("finetune", "pretrain") or dataset is None or dataset.state != "ready":
        return Plan()
    summary = DatasetSummary.model_validate(dataset.summary)
    rows, has_validation = summary.splits.get("train", 0), summary.splits.get("validation", 0) > 0
    images = _describe_images(resolved, summary)
    if not rows:
        return Plan(notes=[images] if images else [])
    schedule = Schedule.model_validate(resolved.spec["schedule"])
    epochs, batch_size = schedule.fit_rows(rows)
    most = schedule.most_epochs(rows) if has_validation else epochs
    batches = max(1, rows // batch_size)
    steps = schedule.cap_steps(epochs * batches)
    notes = [schedule.describe_small_data(rows, has_validation=has_validation), images]
    return Plan(
        notes=[note for note in notes if note],
        epochs=epochs,
        max_epochs=most if most > epochs else None,
        batch_size=batch_size,
        duration=expect_duration(session, resolved, steps=steps, batch_size=batch_size),
    )


def _describe_images(resolved: ResolvedSpec, summary: DatasetSummary) -> str | None:
    """Return the size at which images are read; None where a base model brings it."""
    task = resolved.spec.get("task")
    if not task or resolved.spec.get("start_from"):
        return None
    # Imported when first needed: tasks take longer to import than the rest of this module.
    from ml.tasks import TASKS

    options = TASKS[task["name"]].encoder_options(summary).get(IMAGE, {})
    size = expect_size(summary, {**options, **(resolved.spec.get("encoders") or {}).get(IMAGE, {})})
    return describe_reduction(summary, height=size[0], width=size[1]) if size else None
