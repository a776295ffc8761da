"""Rename the columns of notifications, and public names in stored specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS: Final = {"next_ring_at": "notify_at", "rings": "notify_attempts"}
SCHEDULE_FIELDS: Final = {"least_steps": "min_steps", "least_batches": "min_batches_per_epoch"}
OBJECTIVES: Final = {
    "causal_language_modelling": "causal_language_modeling",
    "masked_image_modelling": "masked_image_modeling",
    "masked_language_modelling": "masked_language_modeling",
}

job = sa.table("job", sa.column("id", sa.String()), sa.column("spec", sa.JSON(none_as_null=True)))


def upgrade() -> None:
    op.drop_index("ix_job_state_next_ring_at", table_name="job")
    _rename_columns(COLUMNS)
    op.create_index("ix_job_state_notify_at", "job", ["state", "notify_at"], unique=False)
    _rewrite_specs(SCHEDULE_FIELDS, OBJECTIVES)


def downgrade() -> None:
    _rewrite_specs(_reverse(SCHEDULE_FIELDS), _reverse(OBJECTIVES))
    op.drop_index("ix_job_state_notify_at", table_name="job")
    _rename_columns(_reverse(COLUMNS))
    op.create_index("ix_job_state_next_ring_at", "job", ["state", "next_ring_at"], unique=False)


def rewrite_spec(spec: Mapping[str, Any], fields: Mapping[str, str], objectives: Mapping[str, str]) -> dict[str, Any]:
    """Return a spec with renamed fields of `schedule` and a renamed `objective`.

    All else stays as it is.
    """
    rewritten = dict(spec)
    schedule, objective = spec.get("schedule"), spec.get("objective")
    if isinstance(schedule, Mapping):
        rewritten["schedule"] = {fields.get(name, name): value for name, value in schedule.items()}
    if isinstance(objective, Mapping):
        rewritten["objective"] = {**objective, "name": objectives.get(objective["name"], objective["name"])}
    elif isinstance(objective, str):
        rewritten["objective"] = objectives.get(objective, objective)
    return rewritten


def _rename_columns(names: Mapping[str, str]) -> None:
    # Not by Alembic's batch mode: on SQLite it copies and drops the table, and the drop cascades to events,
    # checkpoints and metrics.
    for old, new in names.items():
        op.execute(f"ALTER TABLE job RENAME COLUMN {old} TO {new}")


def _rewrite_specs(fields: Mapping[str, str], objectives: Mapping[str, str]) -> None:
    connection = op.get_bind()
    for job_id, spec in connection.execute(sa.select(job.c.id, job.c.spec)).all():
        rewritten = rewrite_spec(spec, fields, objectives)
        if rewritten != spec:
            connection.execute(sa.update(job).where(job.c.id == job_id).values(spec=rewritten))


def _reverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}
