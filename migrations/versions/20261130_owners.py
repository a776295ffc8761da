"""Add owners, priorities and lanes of jobs, and quotas of API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

QUOTAS = ("max_jobs", "cpu_seconds_per_day")


def upgrade() -> None:
    op.add_column("job", sa.Column("owner_id", sa.String(), server_default="", nullable=False))
    op.add_column("job", sa.Column("priority", sa.Integer(), server_default="1", nullable=False))
    op.add_column("job", sa.Column("lane", sa.String(), server_default="computing", nullable=False))
    op.execute("UPDATE job SET lane = 'importing' WHERE kind IN ('validate', 'derive', 'import', 'export')")
    op.execute("UPDATE job SET lane = 'coordinating' WHERE kind = 'sweep'")
    op.create_index("ix_job_queue", "job", ["state", "lane", "owner_id", "priority", "id"])
    op.create_index("ix_job_owner_id_lane_started_at", "job", ["owner_id", "lane", "started_at"])
    for quota in QUOTAS:
        op.add_column("api_key", sa.Column(quota, sa.Integer(), nullable=True))


def downgrade() -> None:
    for quota in QUOTAS:
        op.execute(f"ALTER TABLE api_key DROP COLUMN {quota}")
    op.drop_index("ix_job_owner_id_lane_started_at", "job")
    op.drop_index("ix_job_queue", "job")
    for column in ("lane", "priority", "owner_id"):
        op.execute(f"ALTER TABLE job DROP COLUMN {column}")
