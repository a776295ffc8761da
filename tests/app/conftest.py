"""Fixtures: an application with a database of its own, in the process of the tests."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.health import service as health
from app.main import create_app
from app.settings import AppSettings
from migrations.__main__ import upgrade
from store.database import make_engine
from tests.support.factories import register, shades
from tests.support.settings import forget_settings

KEY = "plinth_tests_" + secrets.token_hex(20)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all migrations."""
    path = tmp_path_factory.mktemp("template") / "plinth.db"
    engine = make_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    return path


@pytest.fixture
def use_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Makes this process use a home folder, as its service does."""

    def use(home: Path) -> None:
        for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL", "PLINTH_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PLINTH_HOME", str(home))
        monkeypatch.setenv("PLINTH_FREE_SPACE_FLOOR_BYTES", "0")
        forget_settings()

    yield use
    forget_settings()


@pytest.fixture(scope="session")
def new_home(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Creates home folders with an empty database."""

    def new() -> Path:
        folder = tmp_path_factory.mktemp("home")
        shutil.copy(migrated, folder / "plinth.db")
        return folder

    return new


@pytest.fixture
def home(new_home: Callable[[], Path], use_home: Callable[[Path], None]) -> Path:
    folder = new_home()
    use_home(folder)
    return folder


@pytest.fixture
def new_client(home: Path) -> Iterator[Callable[..., TestClient]]:
    """Creates clients of applications with the given settings."""
    opened: list[TestClient] = []

    def new(**changes: object) -> TestClient:
        health.readiness.clear()
        app = create_app(AppSettings.model_validate({"api_key": KEY, **changes}))
        client = TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {KEY}"})
        opened.append(client.__enter__())
        return client

    yield new
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(new_client: Callable[..., TestClient]) -> TestClient:
    return new_client()


@pytest.fixture
def model(client: TestClient, tmp_path: Path) -> str:
    """The name of a registered classifier of dark and light images."""
    register(shades(tmp_path / "package"), name="shades")
    return "shades"
