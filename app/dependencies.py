"""Dependencies and parameters that routes share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy.orm import Session

from app.http.errors import ProblemError
from app.metrics.registry import MetricsRegistry
from app.serving.service import PredictService
from app.serving.types import ServingLimits
from app.settings import AppSettings
from ml.spec.catalog import Catalog
from store import api_keys
from store.blobs import Blobs
from store.blobs import blobs as configured_blobs
from store.database import reading, transaction
from store.partial_uploads import PartialUploads
from store.settings import store_settings

if TYPE_CHECKING:
    from app.http.authorization.api_key_cache import ApiKeyCache

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._-]*)?$"


def _session(request: Request) -> Iterator[Session]:
    # A request that only reads must not wait for those that write.
    context = reading() if request.method in ("GET", "HEAD") else transaction()
    with context as session:
        yield session


async def _settings(request: Request) -> AppSettings:
    return request.app.state.settings  # type: ignore[no-any-return]  # set by create_app


async def _blobs() -> Blobs:
    return configured_blobs()


@cache
def read_catalog() -> Catalog:
    """Return the catalog, read once."""
    return Catalog.load()


async def _catalog() -> Catalog:
    return read_catalog()


async def _predict_service(request: Request) -> PredictService:
    return request.app.state.predict_service  # type: ignore[no-any-return]  # set by create_app


async def _partial_uploads(request: Request) -> PartialUploads:
    return request.app.state.partial_uploads  # type: ignore[no-any-return]  # set by create_app


async def _api_keys(request: Request) -> ApiKeyCache:
    return request.app.state.api_keys  # type: ignore[no-any-return]  # set by create_app


async def _metrics(request: Request) -> MetricsRegistry:
    return request.app.state.metrics  # type: ignore[no-any-return]  # set by create_app


#: One transaction per request, committed before the response is sent; that of a GET only reads.
SessionDep = Annotated[Session, Depends(_session, scope="function")]
SettingsDep = Annotated[AppSettings, Depends(_settings)]
BlobsDep = Annotated[Blobs, Depends(_blobs)]
CatalogDep = Annotated[Catalog, Depends(_catalog)]
PredictServiceDep = Annotated[PredictService, Depends(_predict_service)]
PartialUploadsDep = Annotated[PartialUploads, Depends(_partial_uploads)]
ApiKeyCacheDep = Annotated["ApiKeyCache", Depends(_api_keys)]
MetricsDep = Annotated[MetricsRegistry, Depends(_metrics)]

DatasetReference = Annotated[
    str, Path(pattern=REFERENCE, max_length=200, examples=["mnist"], description="An id, a name, or `name@2`.")
]
JobId = Annotated[str, Path(pattern=NAME, max_length=100, examples=["job_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"])]
ModelName = Annotated[str, Path(pattern=NAME, max_length=100, examples=["digits"])]
ModelReference = Annotated[
    str, Path(pattern=REFERENCE, max_length=200, examples=["digits"], description="`name`, `name@3` or `name@alias`.")
]
IdPrefix = Annotated[
    str | None, Query(pattern=r"^[a-z]+_[0-9a-f]{0,32}$", description="Only ids that begin like this.")
]
Version = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[1])]


def pin_version(model: str, version: int) -> str:
    """Return the reference of a version that a path names after the model.

    Raises `ProblemError` 422.
    """
    name, _, reference = model.partition("@")
    if reference not in ("", str(version)):
        detail = f"The path names version {version} of {model}. Leave out one of them."
        raise ProblemError(422, "invalid_request", detail)
    return f"{name}@{version}"


def serving_limits(settings: AppSettings) -> ServingLimits:
    """Return the limits of `app.serving`, which does not depend on settings."""
    return ServingLimits(
        memory_bytes=settings.predict_memory_bytes,
        threads=settings.predict_threads,
        queue_length=settings.predict_queue_length,
        name_ttl_seconds=settings.predict_cache_seconds,
        device=settings.predict_device,
    )


def first_key(settings: AppSettings) -> str | None:
    """Return the first API key: `PLINTH_API_KEY`, else the one of `plinth up`.

    `plinth up` writes it to the home folder.
    """
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    try:
        return (store_settings().home / "api-key").read_text().strip() or None
    except FileNotFoundError:
        return None


def replace_first_key(secret: str) -> None:
    """Write another first key to the home folder, readable by its owner alone."""
    file = store_settings().home / "api-key"
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(f"{secret}\n")
    unfinished.replace(file)


def has_keys() -> bool:
    """Return whether the database has an API key that is neither expired nor revoked."""
    with reading() as session:
        return api_keys.has_live(session)
