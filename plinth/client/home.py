"""Home folder of a local service, and the URL and key that clients read there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"


def home() -> Path:
    """Return `PLINTH_HOME`, or `~/.plinth`, as an absolute path."""
    return Path(os.environ.get("PLINTH_HOME") or "~/.plinth").expanduser().absolute()


def api_key_file(folder: Path) -> Path:
    """Path of the file in which `plinth up` stores the API key that it created."""
    return folder / "api-key"


def stack_file(folder: Path) -> Path:
    """Path of the file in which `plinth up` records its URL and processes."""
    return folder / "stack.json"


def read_stack(folder: Path) -> dict[str, Any]:
    """Read the record of `plinth up`; empty if it is missing or unreadable."""
    try:
        record = json.loads(stack_file(folder).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def service_url() -> str:
    """Return `PLINTH_URL`, else the URL recorded in the home folder, else the default."""
    return os.environ.get("PLINTH_URL") or str(read_stack(home()).get("url") or DEFAULT_URL)


def api_key(url: str) -> str | None:
    """Return `PLINTH_API_KEY`, else the key that `plinth up` created.

    The key of the home folder is used only if `url` is on this machine, so that it is never sent elsewhere.
    """
    if configured_key := os.environ.get("PLINTH_API_KEY"):
        return configured_key
    if urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
        return None
    try:
        return api_key_file(home()).read_text().strip() or None
    except OSError:
        return None
