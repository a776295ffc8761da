"""Settings of a worker.

Those of the database, the blobs and the home folder are in `store.settings`.
"""

from __future__ import annotations

from functools import cache

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GIBIBYTE = 2**30


class WorkerSettings(BaseSettings):
    """`PLINTH_*` variables."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", frozen=True)

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: Threads of one run; without it, OMP_NUM_THREADS or half of the cores. The last bits of the weights depend on it.
    torch_threads: int | None = Field(None, validation_alias=AliasChoices("PLINTH_TORCH_THREADS", "OMP_NUM_THREADS"))
    #: Concurrent runs. One more validation never waits for them.
    job_slots: int = Field(1, ge=1, le=64)

    #: Time between two renewals of a lease; must be well below `lease_seconds`.
    heartbeat_seconds: float = Field(5, gt=0)
    #: Time until a request to cancel, stop or pause is noticed.
    request_seconds: float = Field(1, gt=0)
    #: Time for a run to leave on request; then it is killed, and resumes later from its last checkpoint.
    drain_seconds: float = Field(30, gt=0)
    #: Time that a run continues while the database is unavailable.
    database_patience_seconds: float = Field(600, gt=0)
    #: Delay after the first crash; doubled for each further one.
    crash_backoff_seconds: float = Field(5, ge=0)
    #: Delay before a run that ran out of disk space is retried.
    space_backoff_seconds: float = Field(15, ge=0)
    reconcile_seconds: float = Field(2, gt=0)

    #: Memory limit for reading one dataset.
    import_memory_bytes: int = Field(GIBIBYTE, ge=GIBIBYTE // 4)
    #: Processor time for any upload; each megabyte adds `import_cpu_seconds_per_megabyte`.
    import_cpu_seconds: int = Field(120, ge=1)
    import_cpu_seconds_per_megabyte: float = Field(1, ge=0)
    #: Memory limit for importing one model, which takes several times its weights.
    model_import_memory_bytes: int = Field(16 * GIBIBYTE, ge=GIBIBYTE)
    #: Processor time for any model; each megabyte adds five more.
    model_import_cpu_seconds: int = Field(600, ge=1)
    #: Token to download models from the Hugging Face hub.
    hub_token: SecretStr | None = None

    @field_validator("torch_threads", mode="before")
    @classmethod
    def _ignore_unusable_threads(cls, value: object) -> object:
        """Ignore all but positive integers: OMP_NUM_THREADS can be a list such as `4,2`."""
        return value if value is None or (str(value).isdecimal() and int(str(value)) > 0) else None


@cache
def worker_settings() -> WorkerSettings:
    """Return the settings of this process, read on the first call."""
    return WorkerSettings()
