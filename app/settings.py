"""Settings of the API process, from `PLINTH_*` variables."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024**2
GIB = 1024**3
MAX_API_PROCESSES = 64
#: An origin as browsers serialize it: lower case, without a path. `null`, which any page can send, is none.
ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


class AppSettings(BaseSettings):
    """The web process's own settings; where data lives is `store.settings`."""

    model_config = SettingsConfigDict(env_prefix="PLINTH_", extra="ignore", frozen=True)

    #: Address to listen on. Beyond loopback, the API starts only with `PLINTH_API_KEY` set.
    host: str = "127.0.0.1"
    #: Port to listen on; 0 takes any free one.
    port: int = Field(8000, ge=0, le=65535)
    #: Number of API processes on one socket. Each loads its own models, up to `PLINTH_PREDICT_MEMORY_BYTES`.
    api_processes: int = Field(1, ge=1, le=MAX_API_PROCESSES)
    #: The first API key. None: the one that `plinth up` wrote to `$PLINTH_HOME/api-key`.
    api_key: SecretStr | None = Field(None, min_length=16)
    #: Token of the Hugging Face hub. With it, models can be imported by name; the worker needs it too.
    hub_token: SecretStr | None = None
    #: Host names to answer to, separated by commas, beside localhost and IP addresses; `*` allows every name.
    allowed_hosts: str = ""

    #: Origins whose web pages may send requests, separated by commas: `https://app.example.com`; `*` allows every one.
    cors_origins: str = ""

    #: Whether jobs may train on data and base models whose license excludes commercial use.
    allow_noncommercial: bool = True

    #: Largest JSON body (413 above it).
    max_json_bytes: int = Field(32 * MIB, ge=1024)
    #: Largest body at `/predict` (413 above it).
    max_predict_bytes: int = Field(64 * MIB, ge=1024)
    #: Largest upload (413 above it).
    max_upload_bytes: int = Field(100 * GIB, ge=1024)
    #: Age at which an unfinished upload is deleted.
    upload_expires_seconds: float = Field(7 * 86_400, gt=0)

    #: Time for a client to send its request head.
    header_timeout_seconds: float = Field(10, gt=0)
    #: Time between two parts of a request body.
    body_idle_timeout_seconds: float = Field(30, gt=0)
    #: Time that a response waits for a client that reads nothing.
    unread_timeout_seconds: float = Field(30, gt=0)
    #: Time that an idle connection stays open. A proxy in front should close idle connections earlier.
    keep_alive_seconds: int = Field(30, gt=0)
    #: Time for open requests to finish after SIGTERM.
    shutdown_timeout_seconds: int = Field(2, ge=1)
    #: Time that a verified API key is trusted, so that a revoked one stops working within a second.
    key_cache_seconds: float = Field(0.5, ge=0, le=1)

    #: Time that a browser stays signed in.
    session_seconds: float = Field(7 * 86_400, gt=0)
    #: Time in which the link that `plinth up` prints signs in, once.
    sign_in_link_seconds: float = Field(900, gt=0)

    #: The model of `/invocations`. None: the only one.
    invocations_model: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$")
    #: Where ONNX graphs run: `cpu`, `cuda` or `cuda:N`, one process for each GPU. Needs `onnxruntime-gpu`.
    predict_device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    #: Memory for loaded models; the least recently used one is evicted.
    predict_memory_bytes: int = Field(1 * GIB, ge=1)
    #: Threads that decode large inputs.
    predict_threads: int = Field(2, ge=1, le=64)
    #: Models with series of their own at `/metrics`; the others count together as `(others)`.
    metrics_models: int = Field(40, ge=1)
    #: Model that answers requests to `/v1/systemone` for `jev-latest`; by default the newest that embeds texts.
    decision_model: str | None = None
    #: Number of inputs that can wait for one model; more are answered with 429.
    predict_queue_length: int = Field(1024, ge=1)
    #: Time that a resolved model name is trusted, so that a moved alias takes effect within a second.
    predict_cache_seconds: float = Field(0.5, ge=0, le=1)

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        for origin in _split(value):
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin. Write scheme, host and port only, in lower case, such as "
                    "https://app.example.com or http://localhost:3000"
                )
        return value

    def allowed_origins(self) -> frozenset[str]:
        """Return the origins of `cors_origins`."""
        return frozenset(_split(self.cors_origins))


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


@cache
def app_settings() -> AppSettings:
    """The settings of this process, read once."""
    return AppSettings()
