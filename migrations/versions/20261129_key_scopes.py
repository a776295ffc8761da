"""Add to API keys a scope, models, an end, a rate, and their former secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("scope", "models", "requests_per_minute", "expires_at")


def upgrade() -> None:
    # Existing keys may do everything, as before. Written out, as Alembic adds no constraint to a table of SQLite.
    column = "scope VARCHAR DEFAULT 'admin' NOT NULL"
    check = "CONSTRAINT ck_api_key_scope CHECK (scope IN ('predict', 'train', 'admin'))"
    op.execute(f"ALTER TABLE api_key ADD COLUMN {column} {check}")
    op.add_column("api_key", sa.Column("models", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("api_key", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.add_column("api_key", sa.Column("expires_at", sa.Float(53), nullable=True))
    op.create_table(
        "retired_secret",
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("valid_until", sa.Float(53), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_retired_secret_key_id_api_key")),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_retired_secret")),
    )
    op.create_index(op.f("ix_retired_secret_key_id"), "retired_secret", ["key_id"])


def downgrade() -> None:
    op.drop_table("retired_secret")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE api_key DROP COLUMN {column}")
