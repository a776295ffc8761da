"""Rename the columns of notifications, and public names in stored specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS: Final = {"next_ring_at": "notify_at", "rings": "notify_attempts"}


class Names(NamedTuple):
    """Names in specs: the one in the database -> the one that it gets."""

    schedule_fields: Mapping[str, str]
    objectives: Mapping[str, str]
    metrics: Mapping[str, str]
    #: Options by the name that their owner gets.
    options: Mapping[str, Mapping[str, str]]

    def reverse(self) -> Names:
        """Return the names for the way back."""
        objectives = _reverse(self.objectives)
        return Names(
            schedule_fields=_reverse(self.schedule_fields),
            objectives=objectives,
            metrics=_reverse(self.metrics),
            options={objectives.get(owner, owner): _reverse(names) for owner, names in self.options.items()},
        )


NAMES: Final = Names(
    schedule_fields={"least_steps": "min_steps", "least_batches": "min_batches_per_epoch"},
    objectives={
        "causal_language_modelling": "causal_language_modeling",
        "masked_image_modelling": "masked_image_modeling",
        "masked_language_modelling": "masked_language_modeling",
    },
    metrics={"twin_accuracy": "contrastive_accuracy"},
    options={
        "cnn": {"normalise": "normalize"},
        "ctc": {"letters": "characters"},
        "gradual_unfreezing": {"thawed_after": "unfreeze_until"},
        "masked_audio": {"share": "mask_fraction"},
        "masked_language_modeling": {"share": "prediction_fraction"},
    },
)

job = sa.table("job", sa.column("id", sa.String()), sa.column("spec", sa.JSON(none_as_null=True)))


def upgrade() -> None:
    op.drop_index("ix_job_state_next_ring_at", table_name="job")
    _rename_columns(COLUMNS)
    op.create_index("ix_job_state_notify_at", "job", ["state", "notify_at"], unique=False)
    _rewrite_specs(NAMES)


def downgrade() -> None:
    _rewrite_specs(NAMES.reverse())
    op.drop_index("ix_job_state_notify_at", table_name="job")
    _rename_columns(_reverse(COLUMNS))
    op.create_index("ix_job_state_next_ring_at", "job", ["state", "next_ring_at"], unique=False)


def rewrite_spec(spec: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Return a spec with other names of schedule fields, the monitored metric, objectives and options.

    All else stays as it is.
    """
    rewritten = dict(spec)
    if isinstance(schedule := spec.get("schedule"), Mapping):
        rewritten["schedule"] = _rewrite_schedule(schedule, names)
    for field in ("architecture", "head", "objective", "tuning"):
        if field in spec:
            rewritten[field] = _rewrite_choice(spec[field], names)
    if isinstance(architectures := spec.get("architectures"), Mapping):
        rewritten["architectures"] = {slot: _rewrite_choice(choice, names) for slot, choice in architectures.items()}
    return rewritten


def _rewrite_schedule(schedule: Mapping[str, Any], names: Names) -> dict[str, Any]:
    rewritten = _rename_keys(schedule, names.schedule_fields)
    stopping = schedule.get("early_stopping")
    if isinstance(stopping, Mapping) and isinstance(monitor := stopping.get("monitor"), str):
        rewritten["early_stopping"] = {**stopping, "monitor": _rename_metric(monitor, names.metrics)}
    return rewritten


def _rewrite_choice(choice: Any, names: Names) -> Any:
    if isinstance(choice, str):
        return names.objectives.get(choice, choice)
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str):
        return choice
    name = names.objectives.get(choice["name"], choice["name"])
    rewritten = {**choice, "name": name}
    if isinstance(config := choice.get("config"), Mapping):
        rewritten["config"] = _rename_keys(config, names.options.get(name, {}))
    return rewritten


def _rename_columns(names: Mapping[str, str]) -> None:
    # Not by Alembic's batch mode: on SQLite it copies and drops the table, and the drop cascades to events,
    # checkpoints and metrics.
    for old, new in names.items():
        op.execute(f"ALTER TABLE job RENAME COLUMN {old} TO {new}")


def _rewrite_specs(names: Names) -> None:
    connection = op.get_bind()
    for job_id, spec in connection.execute(sa.select(job.c.id, job.c.spec)).all():
        rewritten = rewrite_spec(spec, names)
        if rewritten != spec:
            connection.execute(sa.update(job).where(job.c.id == job_id).values(spec=rewritten))


def _rename_metric(name: str, metrics: Mapping[str, str]) -> str:
    """Rename `metric` or `split/metric`."""
    split, slash, metric = name.rpartition("/")
    return f"{split}{slash}{metrics.get(metric, metric)}"


def _rename_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def _reverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}
