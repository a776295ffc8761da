"""What the web process can be told, by `PLINTH_*` variables."""

from __future__ import annotations

from functools import cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024**2
GIB = 1024**3
MAX_API_PROCESSES = 64


class AppSettings(BaseSettings):
    """The web process's own settings; where data lives is `store.settings`."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    api_processes: int = Field(1, ge=1, le=MAX_API_PROCESSES)
    """Processes that answer on one socket. Each loads models for itself, up to `predict_memory_bytes`."""
    api_key: SecretStr | None = Field(None, min_length=16)
    """The first key; unset, the one `plinth up` wrote into `$PLINTH_HOME/api-key` is used."""
    hub_token: SecretStr | None = None
    """With it, models may be fetched from the Hugging Face hub by name; the worker needs it, too, and a network."""
    allowed_hosts: str = ""
    """Names to answer to, by comma, beside localhost and bare addresses; `*` answers to every name."""

    max_json_bytes: int = Field(32 * MIB, ge=1024)
    max_predict_bytes: int = Field(64 * MIB, ge=1024)
    max_upload_bytes: int = Field(100 * GIB, ge=1024)
    upload_expires_seconds: float = Field(7 * 86_400, gt=0)

    header_timeout_seconds: float = Field(10, gt=0)
    body_idle_timeout_seconds: float = Field(30, gt=0)
    unread_timeout_seconds: float = Field(30, gt=0)
    """How long an answer waits for a client that reads nothing of it."""
    keep_alive_seconds: int = Field(30, gt=0)
    """A proxy in front should give up idle connections earlier, or it sends into one that is being closed."""
    shutdown_timeout_seconds: int = Field(2, ge=1)
    key_cache_seconds: float = Field(0.5, ge=0, le=1)

    predict_device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """Where graphs run; one process for each GPU. ONNX Runtime has to be a build that knows GPUs."""
    predict_memory_bytes: int = Field(1 * GIB, ge=1)
    """Loaded packages together; the least recently used leaves."""
    predict_threads: int = Field(2, ge=1, le=64)
    predict_queue_length: int = Field(1024, ge=1)
    """Inputs that may wait for one model."""
    predict_cache_seconds: float = Field(0.5, ge=0, le=1)
    """How long a resolved model name is trusted, so an alias that moved is seen within a second."""


@cache
def app_settings() -> AppSettings:
    """The settings of this process, read once."""
    return AppSettings()
