"""Add the origin of datasets, and the licenses of datasets and models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset", sa.Column("origin", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("dataset", sa.Column("license", sa.String(), nullable=True))
    op.add_column("model", sa.Column("license", sa.String(), nullable=True))


def downgrade() -> None:
    # Not by Alembic's batch mode, which copies and drops the table on SQLite.
    op.execute("ALTER TABLE model DROP COLUMN license")
    op.execute("ALTER TABLE dataset DROP COLUMN license")
    op.execute("ALTER TABLE dataset DROP COLUMN origin")
