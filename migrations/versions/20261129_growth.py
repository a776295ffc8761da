"""Index the order of lists; keep warnings of jobs and latest versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IS_TRIAL = sa.text("parent_id IS NOT NULL")
IS_LOG = sa.text("kind = 'log'")


def upgrade() -> None:
    op.drop_index("ix_job_kind", "job")
    op.drop_index("ix_job_parent_id_trial", "job")
    op.create_index("ix_job_kind_id", "job", ["kind", "id"])
    op.create_index("ix_job_parent_id_id", "job", ["parent_id", "id"])
    op.create_index("ix_job_dataset_id", "job", ["dataset_id"])
    op.create_index(
        "ix_job_trial", "job", ["parent_id", "trial"], unique=True, sqlite_where=IS_TRIAL, postgresql_where=IS_TRIAL
    )
    op.create_index("ix_event_log", "event", ["job_id", "number"], sqlite_where=IS_LOG, postgresql_where=IS_LOG)
    op.add_column("job", sa.Column("warnings", sa.JSON(none_as_null=True), nullable=True))
    _copy_warnings()
    op.add_column("model", sa.Column("is_latest", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.execute(
        "UPDATE model SET is_latest = false WHERE deleted_at IS NOT NULL OR EXISTS (SELECT 1 FROM model AS newer"
        " WHERE newer.name = model.name AND newer.version > model.version AND newer.deleted_at IS NULL)"
    )
    op.create_index("ix_model_is_latest_id", "model", ["is_latest", "id"])


def _copy_warnings() -> None:
    """Copy the warnings of each report, one at a time: a report can be large."""
    job = sa.table("job", sa.column("id"), sa.column("report", sa.JSON()), sa.column("warnings", sa.JSON()))
    connection = op.get_bind()
    for job_id in connection.scalars(sa.select(job.c.id).where(job.c.report.is_not(None))).all():
        report = connection.scalar(sa.select(job.c.report).where(job.c.id == job_id)) or {}
        if report.get("warnings"):
            connection.execute(job.update().where(job.c.id == job_id).values(warnings=report["warnings"]))


def downgrade() -> None:
    op.drop_index("ix_model_is_latest_id", "model")
    op.execute("ALTER TABLE model DROP COLUMN is_latest")
    op.execute("ALTER TABLE job DROP COLUMN warnings")
    op.drop_index("ix_event_log", "event")
    for index in ("ix_job_trial", "ix_job_dataset_id", "ix_job_parent_id_id", "ix_job_kind_id"):
        op.drop_index(index, "job")
    op.create_index("ix_job_parent_id_trial", "job", ["parent_id", "trial"], unique=True)
    op.create_index("ix_job_kind", "job", ["kind"])
