"""Lets this process use the home folder of a service in another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.settings import forget_settings


@contextmanager
def use_home(home: Path) -> Iterator[None]:
    """Use a home folder for everything stored in the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PLINTH_DATABASE_URL", "PLINTH_REDIS_URL", "PLINTH_BLOB_URL", "PLINTH_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("PLINTH_HOME", str(home))
        patch.setenv("PLINTH_FREE_SPACE_FLOOR_BYTES", "0")
        forget_settings()
        yield
    forget_settings()
