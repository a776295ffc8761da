"""The application: `ROUTERS` lists everything that it exposes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy.exc import DBAPIError

from app.catalog import routes as catalog
from app.containers import fast_routes as container_paths
from app.containers import routes as containers
from app.datasets import routes as datasets
from app.decisions import fast_routes as decision_paths
from app.decisions import routes as decisions
from app.dependencies import first_key, replace_first_key, serving_limits
from app.disk import routes as disk
from app.event_log import EventLogger
from app.health import routes as health
from app.http import access_log, errors, validation
from app.http.authorization.api_key_cache import ApiKeyCache
from app.http.methods import MethodMiddleware
from app.http.middleware import GatewayMiddleware
from app.huggingface import fast_routes as huggingface_paths
from app.huggingface import routes as huggingface
from app.inference_protocol import fast_routes as inference_paths
from app.inference_protocol import routes as inference_protocol
from app.jobs import base_routes
from app.jobs import routes as jobs
from app.jobs.changes import JobChanges
from app.keys import routes as keys
from app.metrics.registry import MetricsRegistry
from app.models import feedback_routes, split_routes, watch_routes
from app.models import routes as models
from app.openai import fast_routes as openai_paths
from app.openai import routes as openai
from app.openai.media import routes as openai_media
from app.openai.responses import routes as openai_responses
from app.openapi import page
from app.openapi.document import document_of
from app.predict import routes as predict
from app.predict.fast_path import FastPath
from app.predict.handler import PredictHandler
from app.rerank import routes as rerank
from app.serving.package_cache import PackageCache
from app.serving.service import PredictService
from app.settings import AppSettings, app_settings
from app.tracing import open_request_tracer
from app.uploads import routes as uploads
from app.uploads.service import discard_expired
from app.web import routes as web
from app.webhooks import routes as webhooks
from plinth import __version__
from store import api_keys as stored_keys
from store.blobs import blobs
from store.database import lock, transaction
from store.partial_uploads import PartialUploads
from store.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.routing import BaseRoute

    from app.predict.fast_routes import FastRoute

ROUTERS = (
    datasets.router,
    uploads.router,
    catalog.router,
    jobs.router,
    base_routes.router,
    models.router,
    split_routes.router,
    watch_routes.router,
    feedback_routes.router,
    predict.router,
    openai.router,
    openai_media.router,
    openai_responses.router,
    decisions.router,
    inference_protocol.router,
    containers.router,
    huggingface.router,
    rerank.router,
    keys.router,
    webhooks.router,
    health.router,
    disk.router,
)

#: Interval at which expired uploads are deleted.
SWEEP_SECONDS = 600.0
#: Interval of attempts to store the first key while the database is unavailable.
RETRY_SECONDS = 1.0

_log = EventLogger("plinth.app")


def create_app(settings: AppSettings | None = None) -> FastAPI:
    """Create the application; `app.state` holds what lives as long as it does."""
    settings = settings or app_settings()
    home = store_settings().home
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=_lifespan,
        redirect_slashes=False,
        # Spans are those of app.tracing: FastAPI's have paths and queries, and those of sign-in links are secrets.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    tracer = app.state.tracer = open_request_tracer()
    app.state.settings = settings
    app.state.stopping = asyncio.Event()
    app.state.job_changes = JobChanges()
    app.state.metrics = MetricsRegistry(max_names=settings.metrics_models)
    app.state.api_keys = ApiKeyCache(seconds=settings.key_cache_seconds)
    app.state.partial_uploads = PartialUploads(home / "incoming", floor_bytes=store_settings().free_space_floor_bytes)
    packages = PackageCache(blobs, home / "cache" / "models")
    app.state.predict_service = PredictService(
        packages=packages, limits=serving_limits(settings), metrics=app.state.metrics
    )
    app.router.routes.extend(api_routes())
    errors.install(app)
    validation.install(app)
    web.install(app)
    page.install(app, api_document)
    gateway = GatewayMiddleware(
        settings=settings, api_keys=app.state.api_keys, metrics=app.state.metrics, routes=app.routes, tracer=tracer
    )
    app.add_middleware(MethodMiddleware)
    app.add_middleware(gateway.wrap)
    app.state.predict_handler = PredictHandler(app.state.predict_service, gateway)
    app.state.fast_path = FastPath(app.state.predict_handler, gateway, routes=fast_routes(settings))
    return app


@cache
def api_routes() -> tuple[BaseRoute, ...]:
    """Return the routes of `ROUTERS`, which all applications of a process share.

    FastAPI reads the parameters of a route at its first request, which takes longer than most requests.
    """
    api = APIRouter(generate_unique_id_function=lambda route: route.name)
    for router in ROUTERS:
        api.include_router(router, dependencies=[Depends(validation.reject_unknown_parameters)])
    return tuple(api.routes)


@cache
def api_document() -> dict[str, Any]:
    """Return the OpenAPI document of the routes, which takes most of a second to build."""
    return document_of(api_routes(), title="Plinth", version=__version__)


def fast_routes(settings: AppSettings) -> list[FastRoute]:
    """Return the paths of protocols whose usual requests take the fast path."""
    return [
        openai_paths.EmbeddingsRoute(),
        openai_paths.ModerationsRoute(),
        decision_paths.DecisionsRoute(),
        decision_paths.SystemOneRoute(),
        container_paths.InstancesRoute(),
        container_paths.InvocationsRoute(settings.invocations_model),
        container_paths.PredictionsRoute(),
        inference_paths.InferRoute(),
        *huggingface_paths.fast_routes(),
    ]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_sweep(app)), asyncio.create_task(app.state.predict_service.warm_up())]
    if not await _ensure_first_key(app):
        tasks.append(asyncio.create_task(_keep_ensuring_first_key(app)))
    try:
        yield
    finally:
        app.state.stopping.set()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        app.state.predict_service.close()
        access_log.flush()
        if app.state.tracer is not None:
            app.state.tracer.close()


async def _ensure_first_key(app: FastAPI) -> bool:
    """Store the first key; returns False if the database is unavailable.

    Requests are rejected until the key is stored.
    """
    secret = first_key(app.state.settings)
    if secret is None:
        _log.warning("no API key", hint="set PLINTH_API_KEY, or start with `plinth up`")
        return True
    try:
        await to_thread.run_sync(_store_key, app.state.settings)
    except DBAPIError as error:
        _log.warning("database unavailable", reason=str(error.orig), hint="start it, and run `python -m migrations`")
        return False
    return True


async def _keep_ensuring_first_key(app: FastAPI) -> None:
    while not await _ensure_first_key(app):
        await asyncio.sleep(RETRY_SECONDS)


def _store_key(settings: AppSettings) -> None:
    """Store the first key.

    A key of the home folder that is not valid any more is replaced there, or its owner would be locked out.
    """
    with transaction() as session:
        lock(session, "first key")
        # Read within the lock: of several API processes, one replaces it.
        secret = first_key(settings)
        if secret is None or stored_keys.ensure(session, secret, name="first") is not None:
            return
        if settings.api_key is not None:
            _log.warning("PLINTH_API_KEY is not valid any more", hint="set it to another secret, and restart")
            return
        _, secret = stored_keys.create(session, name="first")
        replace_first_key(secret)


async def _sweep(app: FastAPI) -> None:
    """Delete expired uploads, at intervals."""
    while True:
        with suppress(DBAPIError):
            await to_thread.run_sync(discard_expired, app.state.partial_uploads)
        await asyncio.sleep(SWEEP_SECONDS)
