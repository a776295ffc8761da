"""Settings of the database, the broker and the blobs: `PLINTH_*` variables."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Prefix of the Celery queues of notifications, one for each lane.
QUEUE = "plinth"
#: Celery task that a notification calls.
HANDLER = "run_job"
#: Limit for connecting and for each reply of the broker: a request must not wait for a broker that hangs.
BROKER_TIMEOUT_SECONDS = 1.0

#: Delay until workers are notified of a queued job again; it doubles up to `MAX_NOTIFY_DELAY_SECONDS`.
FIRST_NOTIFY_DELAY_SECONDS = 5.0
MAX_NOTIFY_DELAY_SECONDS = 60.0
MAX_NOTIFICATIONS_PER_ROUND = 100


IPNetwork = IPv4Network | IPv6Network


class StoreSettings(BaseSettings):
    """Settings on which every process of the service must agree."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", extra="ignore")

    #: Folder of everything that is stored, created with mode 0700.
    home: Path = Path("~/.plinth")
    #: SQLAlchemy URL, such as `postgresql+psycopg://user:password@host/name`. None: SQLite in `PLINTH_HOME`.
    database_url: str = ""
    #: Broker, such as `redis://host:6379/0`. None: `plinth up` starts its own on a private socket.
    redis_url: str = ""
    #: Where files are stored: `file:///folder` or `s3://bucket/prefix`. None: a folder in `PLINTH_HOME`.
    blob_url: str = ""
    #: Address of an S3 service other than that of AWS.
    s3_endpoint_url: str | None = None
    #: Time without a heartbeat after which a run is passed to another worker.
    lease_seconds: float = Field(30.0, gt=0)
    #: Number of crashes after which a job fails.
    max_crashes: int = Field(3, ge=1)
    #: Jobs of one API key that may be queued or running at once, unless the key has a quota. None: no limit.
    key_max_jobs: int | None = Field(None, ge=1)
    #: CPU time of trainings that one API key starts within a day, unless the key has a quota. None: no limit.
    key_cpu_seconds_per_day: int | None = Field(None, ge=1)
    #: Free space below which nothing new is stored (507).
    free_space_floor_bytes: int = Field(256 << 20, ge=0)

    #: Time after which the checkpoints of an ended job are deleted; its model stays.
    checkpoint_retention_days: float = Field(1.0, ge=0)
    #: Time after which the files of a rejected dataset or an imported model are deleted; a ready dataset keeps them.
    upload_retention_days: float = Field(7.0, ge=0)
    #: Time after which an export of a model is deleted; it can be exported again.
    export_retention_days: float = Field(30.0, ge=0)
    #: Time after which the log file of an ended job is deleted.
    log_retention_days: float = Field(30.0, ge=0)
    #: Time after which encoded rows are deleted that no run has read; a run can encode them again.
    encoded_retention_days: float = Field(1.0, ge=0)
    #: Time after which the progress events and log lines of an ended job are deleted; curves and report stay.
    event_retention_days: float = Field(90.0, ge=0)

    #: Private networks that webhooks may reach, separated by commas: `10.0.0.0/8, ::1`. None: public ones alone.
    webhook_allowed_networks: str = ""
    #: Time without a successful delivery after which a webhook is disabled.
    webhook_disable_days: float = Field(5.0, gt=0)
    #: Time after which an ended delivery is deleted.
    webhook_retention_days: float = Field(30.0, ge=0)

    @field_validator("webhook_allowed_networks")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        _parse_networks(value)
        return value

    @model_validator(mode="after")
    def _fill_defaults(self) -> StoreSettings:
        self.home = self.home.expanduser().absolute()
        self.database_url = self.database_url or f"sqlite:///{self.home / 'plinth.db'}"
        self.blob_url = self.blob_url or f"file://{self.home / 'blobs'}"
        return self

    def webhook_networks(self) -> list[IPNetwork]:
        """Return the networks of `webhook_allowed_networks`."""
        return _parse_networks(self.webhook_allowed_networks)


def _parse_networks(text: str) -> list[IPNetwork]:
    return [ip_network(part.strip()) for part in text.split(",") if part.strip()]


@cache
def store_settings() -> StoreSettings:
    """Return the settings of this process, read on the first call."""
    return StoreSettings()
