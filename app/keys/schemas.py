"""Schemas of API keys."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.dependencies import NAME

if TYPE_CHECKING:
    from store.tables import ApiKey


class KeyCreate(BaseModel):
    """A key to create."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME, max_length=100, description="Name that tells keys apart.")


class Key(BaseModel):
    """An API key, without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_current: bool = Field(False, description="Whether this request was sent with it.")

    @classmethod
    def of(cls, row: ApiKey, *, current_id: str | None = None) -> Self:
        """Convert a row; `current_id` is the key of the request."""
        return cls(
            is_current=row.id == current_id,
            id=row.id,
            name=row.name,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
        )


class NewKey(Key):
    """A key that was just created, with its secret."""

    secret: str | None = Field(
        None,
        description="Shown only once. Null for a repeated `Idempotency-Key`, because the secret is not stored.",
    )
