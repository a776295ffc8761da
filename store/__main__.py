"""`python -m store`: check the database, broker, blobs and disk.

Prints JSON; exits with 1 if a check fails.
"""

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
    """Check each part.

    Return whether it works (`ok`), a `detail`, and how to fix it if it does not (`fix`).
    """
    return {
        "database": _try(_database, "Check PLINTH_DATABASE_URL, and run `python -m migrations`."),
        "broker": _try(_broker, "Start a broker (`plinth up` does), or set PLINTH_REDIS_URL to a running one."),
        "blobs": _try(lambda: blobs().check(), "Check PLINTH_BLOB_URL, and its credentials or permissions."),
        "disk": _try(_disk, "Free some disk space, or set PLINTH_HOME to a larger disk."),
    }


def _try(part: Callable[[], str], fix: str) -> dict[str, Any]:
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
        raise BrokerUnavailable("PLINTH_REDIS_URL is not set; set it to redis://HOST:PORT")
    count = notifications.queue_length()
    return "1 message is waiting" if count == 1 else f"{count} messages are waiting"


def _disk() -> str:
    free = shutil.disk_usage(store_settings().home).free
    floor = store_settings().free_space_floor_bytes
    if free < floor:
        free_and_floor = f"{free / 1e9:.1f} GB are free, less than the minimum of {floor / 1e9:.1f} GB"
        raise OSError(f"{free_and_floor}; free disk space, or lower PLINTH_FREE_SPACE_FLOOR_BYTES")
    return f"{free / 1e9:.1f} GB free"


if __name__ == "__main__":
    parts = check()
    sys.stdout.write(json.dumps(parts, indent=2) + "\n")
    sys.exit(0 if all(part["ok"] for part in parts.values()) else 1)
