"""Add the bytes of inputs to feedback, so that they can be limited."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("feedback") as batch:
        batch.add_column(sa.Column("bytes", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE feedback SET bytes = length(input)")
    with op.batch_alter_table("feedback") as batch:
        batch.alter_column("bytes", server_default=None)
        batch.create_index("ix_feedback_model_name_bytes", ["model_name", "bytes"])


def downgrade() -> None:
    with op.batch_alter_table("feedback") as batch:
        batch.drop_index("ix_feedback_model_name_bytes")
        batch.drop_column("bytes")
