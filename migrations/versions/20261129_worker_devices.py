"""Add the number of devices of workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worker", sa.Column("devices", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.execute("ALTER TABLE worker DROP COLUMN devices")
