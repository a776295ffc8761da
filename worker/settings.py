"""What a worker can be told. Where the database, the blobs and the home folder are is `store.settings`' to say."""

from __future__ import annotations

from functools import cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

GIBIBYTE = 2**30


class WorkerSettings(BaseSettings):
    """`PLINTH_*` variables."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", frozen=True)

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    job_slots: int = Field(1, ge=1, le=64)
    """Runs at once; one validation more never waits behind them."""

    heartbeat_seconds: float = Field(5, gt=0)
    """Between two renewals of a lease; must be well below `lease_seconds`."""
    request_seconds: float = Field(1, gt=0)
    """How soon a request to cancel, stop or pause is seen."""
    drain_seconds: float = Field(30, gt=0)
    """How long a run that was asked to leave may take; killed after that, it goes on from its last checkpoint."""
    database_patience_seconds: float = Field(600, gt=0)
    """How long a run goes on while the database cannot be reached."""
    crash_backoff_seconds: float = Field(5, ge=0)
    """After the first crash; doubled for each that follows."""
    space_backoff_seconds: float = Field(15, ge=0)
    """Before a run that found the disk full is tried again."""
    reconcile_seconds: float = Field(2, gt=0)

    import_memory_bytes: int = Field(GIBIBYTE, ge=GIBIBYTE // 4)
    """What reading one dataset may take."""
    import_cpu_seconds: int = Field(120, ge=1)
    """For any upload; each megabyte allows `import_cpu_seconds_per_megabyte` more."""
    import_cpu_seconds_per_megabyte: float = Field(1, ge=0)
    model_import_memory_bytes: int = Field(16 * GIBIBYTE, ge=GIBIBYTE)
    """What reading one model from elsewhere may take: several times its weights."""
    model_import_cpu_seconds: int = Field(600, ge=1)
    """For any model; each megabyte allows five more."""
    hub_token: SecretStr | None = None
    """To fetch models from the Hugging Face hub."""


@cache
def worker_settings() -> WorkerSettings:
    """Read once a process."""
    return WorkerSettings()
