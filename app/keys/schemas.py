"""Keys as clients see them; the secret itself once, at its making."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.dependencies import NAME

if TYPE_CHECKING:
    from store.tables import ApiKey


class KeyCreate(BaseModel):
    """What to call a new key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME, max_length=100)


class Key(BaseModel):
    """A key, without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKey) -> Self:
        """As stored."""
        return cls(
            id=row.id,
            name=row.name,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
        )


class NewKey(Key):
    """`secret` is shown this once; null where an `Idempotency-Key` was sent again, since it is kept nowhere."""

    secret: str | None = None
