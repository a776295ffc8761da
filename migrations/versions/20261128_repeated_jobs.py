"""Add to jobs the request, the job that it repeats, and the time of deletion."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = ("origin_id", "request", "deleted_at")


def upgrade() -> None:
    op.add_column("job", sa.Column("origin_id", sa.String(), nullable=True))
    op.add_column("job", sa.Column("request", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("job", sa.Column("deleted_at", sa.Float(53), nullable=True))


def downgrade() -> None:
    # Not by Alembic's batch mode, whose drop of the old table cascades to events, checkpoints and metrics.
    for column in COLUMNS:
        op.execute(f"ALTER TABLE job DROP COLUMN {column}")
