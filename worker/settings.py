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

    #: Where runs train: `auto`, `cpu`, `cuda` or `cuda:N`.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: Threads of one run; without it, OMP_NUM_THREADS or half of the cores. The last bits of the weights depend on it.
    torch_threads: int | None = Field(None, validation_alias=AliasChoices("PLINTH_TORCH_THREADS", "OMP_NUM_THREADS"))
    #: Number of runs at once. One more slot is reserved for validation.
    job_slots: int = Field(1, ge=1, le=64)

    #: Time between two renewals of a lease; must be well below `PLINTH_LEASE_SECONDS`.
    heartbeat_seconds: float = Field(5, gt=0)
    #: Time until a request to cancel, stop or pause is noticed.
    request_seconds: float = Field(1, gt=0)
    #: Time for a run to save a checkpoint after SIGTERM. It is killed after that and resumes from its last one.
    drain_seconds: float = Field(30, gt=0)
    #: Time for a run to delete what it used, after it has recorded its end.
    clean_up_seconds: float = Field(30, gt=0)
    #: Time that a run continues while the database is unavailable.
    database_patience_seconds: float = Field(600, gt=0)
    #: Wait after the first crash of a run, doubled after each further one.
    crash_backoff_seconds: float = Field(5, ge=0)
    #: Wait before a run that filled the disk is tried again.
    space_backoff_seconds: float = Field(15, ge=0)
    #: Time between two searches for expired leases and due jobs.
    reconcile_seconds: float = Field(2, gt=0)

    #: Memory for reading one dataset.
    import_memory_bytes: int = Field(GIBIBYTE, ge=GIBIBYTE // 4)
    #: CPU time for reading one dataset of any size.
    import_cpu_seconds: int = Field(120, ge=1)
    #: CPU time added for each megabyte of a dataset.
    import_cpu_seconds_per_megabyte: float = Field(1, ge=0)
    #: Fraction of the rows of a data set up to which rows with an error are left out and listed; more refuse it.
    max_bad_rows: float = Field(0.01, ge=0, le=1)
    #: Memory for reading one imported model, which takes several times its weights.
    model_import_memory_bytes: int = Field(16 * GIBIBYTE, ge=GIBIBYTE)
    #: CPU time for reading one imported model; each megabyte adds five seconds.
    model_import_cpu_seconds: int = Field(600, ge=1)
    #: Token of the Hugging Face hub, to import models by name. None: nothing is downloaded.
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
