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
#: Options by the current name of what they belong to.
OPTIONS: Final = {
    "cnn": {"normalise": "normalize"},
    "ctc": {"letters": "characters"},
    "gradual_unfreezing": {"thawed_after": "unfreeze_until"},
    "masked_audio": {"share": "mask_fraction"},
    "masked_language_modeling": {"share": "prediction_fraction"},
}

job = sa.table("job", sa.column("id", sa.String()), sa.column("spec", sa.JSON(none_as_null=True)))


def upgrade() -> None:
    op.drop_index("ix_job_state_next_ring_at", table_name="job")
    _rename_columns(COLUMNS)
    op.create_index("ix_job_state_notify_at", "job", ["state", "notify_at"], unique=False)
    _rewrite_specs(SCHEDULE_FIELDS, OBJECTIVES, OPTIONS)


def downgrade() -> None:
    objectives = _reverse(OBJECTIVES)
    options = {objectives.get(name, name): _reverse(names) for name, names in OPTIONS.items()}
    _rewrite_specs(_reverse(SCHEDULE_FIELDS), objectives, options)
    op.drop_index("ix_job_state_notify_at", table_name="job")
    _rename_columns(_reverse(COLUMNS))
    op.create_index("ix_job_state_next_ring_at", "job", ["state", "next_ring_at"], unique=False)


def rewrite_spec(
    spec: Mapping[str, Any],
    fields: Mapping[str, str],
    objectives: Mapping[str, str],
    options: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Return a spec with renamed fields of `schedule`, a renamed `objective` and renamed options.

    `options` are by the name that the spec has afterwards. All else stays as it is.
    """
    rewritten = dict(spec)
    if isinstance(schedule := spec.get("schedule"), Mapping):
        rewritten["schedule"] = _rename_keys(schedule, fields)
    for name in ("architecture", "head", "objective", "tuning"):
        if name in spec:
            rewritten[name] = _rewrite_choice(spec[name], objectives, options)
    if isinstance(architectures := spec.get("architectures"), Mapping):
        rewritten["architectures"] = {
            slot: _rewrite_choice(choice, objectives, options) for slot, choice in architectures.items()
        }
    return rewritten


def _rewrite_choice(choice: Any, objectives: Mapping[str, str], options: Mapping[str, Mapping[str, str]]) -> Any:
    if isinstance(choice, str):
        return objectives.get(choice, choice)
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str):
        return choice
    name = objectives.get(choice["name"], choice["name"])
    rewritten = {**choice, "name": name}
    if isinstance(config := choice.get("config"), Mapping):
        rewritten["config"] = _rename_keys(config, options.get(name, {}))
    return rewritten


def _rename_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def _rename_columns(names: Mapping[str, str]) -> None:
    # Not by Alembic's batch mode: on SQLite it copies and drops the table, and the drop cascades to events,
    # checkpoints and metrics.
    for old, new in names.items():
        op.execute(f"ALTER TABLE job RENAME COLUMN {old} TO {new}")


def _rewrite_specs(
    fields: Mapping[str, str], objectives: Mapping[str, str], options: Mapping[str, Mapping[str, str]]
) -> None:
    connection = op.get_bind()
    for job_id, spec in connection.execute(sa.select(job.c.id, job.c.spec)).all():
        rewritten = rewrite_spec(spec, fields, objectives, options)
        if rewritten != spec:
            connection.execute(sa.update(job).where(job.c.id == job_id).values(spec=rewritten))


def _reverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}
