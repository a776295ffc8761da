"""A migrated database in the process of the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations.__main__ import upgrade
from store.database import engine
from tests.support.settings import forget_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path / "home"))
    forget_settings()
    with engine().begin() as connection:
        upgrade(connection)
    yield tmp_path / "home"
    forget_settings()
