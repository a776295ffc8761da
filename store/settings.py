"""Where rows, blobs and messages live: `PLINTH_*` variables."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

QUEUE = "plinth"
"""The Celery queue of notifications."""
HANDLER = "run_job"
"""The Celery task that a notification calls."""
BROKER_TIMEOUT_SECONDS = 1.0
"""For connecting and for each reply: a request that notifies must not wait for a broker that hangs."""


class StoreSettings(BaseSettings):
    """What every process of the service must agree on."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", extra="ignore")

    home: Path = Path("~/.plinth")
    database_url: str = ""
    redis_url: str = ""
    blob_url: str = ""
    s3_endpoint_url: str | None = None
    lease_seconds: float = Field(30.0, gt=0)
    max_crashes: int = Field(3, ge=1)
    free_space_floor_bytes: int = Field(256 << 20, ge=0)
    """With less free than this, nothing new is stored."""

    @model_validator(mode="after")
    def _derive(self) -> StoreSettings:
        self.home = self.home.expanduser().absolute()
        self.database_url = self.database_url or f"sqlite:///{self.home / 'plinth.db'}"
        self.blob_url = self.blob_url or f"file://{self.home / 'blobs'}"
        return self


@cache
def store_settings() -> StoreSettings:
    """Read once a process."""
    return StoreSettings()
