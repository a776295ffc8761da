"""`python -m store`: can this process reach all it needs? Prints JSON; exits 1 where something is wrong."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from store import notifications
from store.blobs import blobs
from store.database import engine
from store.errors import BrokerUnavailable, StoreError
from store.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Callable


def check() -> dict[str, dict[str, Any]]:
    """Each part: is it well, what is it, and what to do where it is not."""
    return {
        "database": _tried(_database, "Check PLINTH_DATABASE_URL, and run `python -m migrations`."),
        "broker": _tried(_broker, "Start it (`plinth up` does), or point PLINTH_REDIS_URL at one that runs."),
        "blobs": _tried(lambda: blobs().check(), "Check PLINTH_BLOB_URL, and the credentials or rights it needs."),
        "disk": _tried(_disk, "Free some space, or point PLINTH_HOME at a larger disk."),
    }


def _tried(part: Callable[[], str], fix: str) -> dict[str, Any]:
    try:
        return {"ok": True, "detail": part(), "fix": None}
    except (StoreError, SQLAlchemyError, OSError, ValueError) as error:
        return {"ok": False, "detail": str(error).splitlines()[0], "fix": fix}


def _database() -> str:
    with engine().connect() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return f"{engine().url.render_as_string(hide_password=True)} at revision {revision}"


def _broker() -> str:
    if not store_settings().redis_url:
        raise BrokerUnavailable("PLINTH_REDIS_URL is not set")
    return f"{notifications.queue_length()} messages wait"


def _disk() -> str:
    free = shutil.disk_usage(store_settings().home).free
    floor = store_settings().free_space_floor_bytes
    if free < floor:
        raise OSError(f"{free} bytes free, fewer than the floor of {floor}")
    return f"{free} bytes free"


if __name__ == "__main__":
    found = check()
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if all(part["ok"] for part in found.values()) else 1)
