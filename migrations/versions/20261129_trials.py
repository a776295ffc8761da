"""Add to jobs the sweep of which they are trials, their number and their settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("parent_id", "trial", "parameters")
INDEX = "ix_job_parent_id_trial"


def upgrade() -> None:
    op.add_column("job", sa.Column("parent_id", sa.String(), nullable=True))
    op.add_column("job", sa.Column("trial", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("parameters", sa.JSON(none_as_null=True), nullable=True))
    op.create_index(INDEX, "job", ["parent_id", "trial"], unique=True)


def downgrade() -> None:
    op.drop_index(INDEX, "job")
    # Not by Alembic's batch mode, whose drop of the old table cascades to events, checkpoints and metrics.
    for column in COLUMNS:
        op.execute(f"ALTER TABLE job DROP COLUMN {column}")
