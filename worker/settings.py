"""Settings of a worker.

Those of the database, the blobs and the home folder are in `store.settings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.hardware import count_cores

GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True)
class Threads:
    """Number of threads of a run, and why."""

    count: int
    reason: str


class WorkerSettings(BaseSettings):
    """`PLINTH_*` variables."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", frozen=True)

    #: Where runs train: `auto`, `cpu`, `cuda` or `cuda:N`.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: Threads of one run; `auto`: OMP_NUM_THREADS, or cores / `PLINTH_JOB_SLOTS`. They change the last bits of weights.
    torch_threads: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    #: Number of runs at once; 0 for a worker that only imports. Imports and exports have slots of their own.
    job_slots: int = Field(1, ge=0, le=64)
    #: Number of imports and exports at once, beside which runs never wait; 0 for a worker that only trains.
    import_slots: int = Field(2, ge=0, le=64)
    #: Whether runs are forked from a process that has imported PyTorch (about 400 MB), on Linux without a GPU.
    warm_worker: bool = True

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
    #: Whether this worker sends webhooks; 0 where `python -m worker.webhooks` does, as workers have no way out.
    send_webhooks: bool = True
    #: Time between two steps of the watches of models: drift, training, promotion.
    watch_seconds: float = Field(5, gt=0)

    #: Memory for reading one dataset.
    import_memory_bytes: int = Field(GIBIBYTE, ge=GIBIBYTE // 4)
    #: CPU time for reading one dataset of any size.
    import_cpu_seconds: int = Field(120, ge=1)
    #: CPU time added for each megabyte of a dataset.
    import_cpu_seconds_per_megabyte: float = Field(1, ge=0)
    #: Rows of one dataset. Five million texts need 750 MB of `import_memory_bytes`. A log may have four interactions
    #: for each of them.
    import_max_rows: int = Field(5_000_000, ge=1)
    #: Files of one upload, those of archives included.
    import_max_files: int = Field(250_000, ge=1)
    #: Pixels of one image of a dataset.
    import_max_image_pixels: int = Field(25_000_000, ge=1)
    #: Bytes of one upload, unpacked.
    import_max_unpacked_bytes: int = Field(64 * GIBIBYTE, ge=1)
    #: Fraction of the rows of a dataset up to which rows with an error are left out and listed; more refuse it.
    max_bad_rows: float = Field(0.01, ge=0, le=1)
    #: Memory for reading one imported model, which takes several times its weights.
    model_import_memory_bytes: int = Field(16 * GIBIBYTE, ge=GIBIBYTE)
    #: CPU time for reading one imported model; each megabyte adds five seconds.
    model_import_cpu_seconds: int = Field(600, ge=1)
    #: Token of the Hugging Face hub, to import models by name. None: nothing is downloaded.
    hub_token: SecretStr | None = None

    @model_validator(mode="after")
    def _check_slots(self) -> Self:
        if not self.job_slots and not self.import_slots:
            raise ValueError("PLINTH_JOB_SLOTS and PLINTH_IMPORT_SLOTS are both 0; set one of them for the worker")
        return self

    def import_limits(self) -> dict[str, int]:
        """Return the fields of `ml.data.limits.Limits` that settings change."""
        return {
            "max_rows": self.import_max_rows,
            "max_members": self.import_max_files,
            "max_pixels": self.import_max_image_pixels,
            "max_total_bytes": self.import_max_unpacked_bytes,
        }

    def choose_threads(self) -> Threads:
        """Return how many threads a run computes with, and why."""
        if self.torch_threads != "auto":
            return Threads(self.torch_threads, "PLINTH_TORCH_THREADS")
        # It can also be a list such as `4,2`, for nested parallel regions that torch does not have.
        if (openmp := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(openmp):
            return Threads(int(openmp), "OMP_NUM_THREADS")
        reason = f"{_plural(count_cores(), 'core')} / {_plural(self.job_slots, 'slot')}"
        return Threads(self.cores_of_run, reason)

    @property
    def cores_of_run(self) -> int:
        """Cores that each run may use, if all slots are taken."""
        return max(1, count_cores() // max(1, self.job_slots))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@cache
def worker_settings() -> WorkerSettings:
    """Return the settings of this process, read on the first call."""
    return WorkerSettings()
