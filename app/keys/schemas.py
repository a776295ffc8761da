"""Schemas of API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, Field, model_validator
from typing_extensions import TypeAliasType

from app.dependencies import NAME
from ml.config import Config

if TYPE_CHECKING:
    from store.tables import ApiKey

MAX_PATTERNS: Final = 100
MAX_REQUESTS_PER_MINUTE: Final = 1_000_000
MAX_JOBS: Final = 1_000_000
MAX_CPU_SECONDS_PER_DAY: Final = 1_000_000_000
MAX_GRACE_SECONDS: Final = 30 * 86_400
#: Time in which clients change to the new secret of a key, unless a rotation says otherwise.
GRACE_SECONDS: Final = 86_400
#: Later times may not be read again, as they are stored by their seconds.
MAX_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)

KeyScope = TypeAliasType("KeyScope", Literal["predict", "train", "admin"])
ModelPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*][A-Za-z0-9._*-]*$", max_length=100, examples=["digits*"])]


class KeyLimits(Config):
    """Limits of a key, which can be changed."""

    requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=MAX_REQUESTS_PER_MINUTE,
        description="Requests that the key may send a minute; 429 above it. null: no limit.",
    )
    max_jobs: int | None = Field(
        None,
        ge=1,
        le=MAX_JOBS,
        description="Jobs of the key that may be queued or running at once, imports of data included, a sweep counted "
        "as one; 429 above it. null: `PLINTH_KEY_MAX_JOBS`.",
    )
    cpu_seconds_per_day: int | None = Field(
        None,
        ge=1,
        le=MAX_CPU_SECONDS_PER_DAY,
        description="CPU time of trainings that the key starts within 24 hours; once it is used, new jobs are answered "
        "with 429. null: `PLINTH_KEY_CPU_SECONDS_PER_DAY`.",
    )


class KeyCreate(KeyLimits):
    """A key to create."""

    name: str = Field(pattern=NAME, max_length=100, description="Name that tells keys apart.")
    scope: KeyScope = Field(
        "admin",
        description="`predict`: read and use models. `train`: also data, jobs and changes of models. `admin`: also "
        "keys, webhooks and disk space.",
    )
    models: list[ModelPattern] | None = Field(
        None,
        min_length=1,
        max_length=MAX_PATTERNS,
        description="Names of the models that a key of the scope `predict` may use, with `*` for any text; null: all.",
    )
    expires_at: AwareDatetime | None = Field(None, description="When the key ends; null: never.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.models is not None and self.scope != "predict":
            raise ValueError(
                f"a key of the scope {self.scope} cannot be limited to models, as it reads data and jobs of all; set "
                "the scope predict, or leave out models"
            )
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            raise ValueError(f"expires_at is {self.expires_at.isoformat()}, which has passed; set a time to come")
        if self.expires_at is not None and self.expires_at >= MAX_TIME:
            raise ValueError(f"expires_at is {self.expires_at.isoformat()}; leave it out for a key without an end")
        return self


class KeyRotation(Config):
    """Options of a rotation."""

    grace_seconds: float = Field(
        GRACE_SECONDS, ge=0, le=MAX_GRACE_SECONDS, description="Time in which the present secret is valid, too."
    )


class Key(BaseModel):
    """An API key, without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    scope: KeyScope
    models: list[str] | None = Field(description="Patterns of the names of models that it may use; null: all.")
    requests_per_minute: int | None
    max_jobs: int | None = Field(description="Jobs that may be queued or running at once; null: as the settings say.")
    cpu_seconds_per_day: int | None = Field(
        description="CPU time of trainings that start within a day; null: as the settings say."
    )
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    is_current: bool = Field(False, description="Whether this request was sent with it.")

    @classmethod
    def of(cls, row: ApiKey, *, current_id: str | None = None) -> Self:
        """Convert a row; `current_id` is the key of the request."""
        return cls.model_validate(
            {
                "id": row.id,
                "name": row.name,
                "scope": row.scope,
                "models": row.models,
                "requests_per_minute": row.requests_per_minute,
                "max_jobs": row.max_jobs,
                "cpu_seconds_per_day": row.cpu_seconds_per_day,
                "created_at": row.created_at,
                "last_used_at": row.last_used_at,
                "expires_at": row.expires_at,
                "revoked_at": row.revoked_at,
                "is_current": row.id == current_id,
            }
        )


class NewKey(Key):
    """A key that was just created or rotated, with its secret."""

    secret: str | None = Field(
        None,
        description="Shown only once. Null for a repeated `Idempotency-Key`, because the secret is not stored.",
    )
