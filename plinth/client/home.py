"""The home folder of a local service: where it is, and what a client on the same machine finds in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"


def home() -> Path:
    """`PLINTH_HOME`, or `~/.plinth`."""
    return Path(os.environ.get("PLINTH_HOME") or "~/.plinth").expanduser().absolute()


def api_key_file(folder: Path) -> Path:
    """Where `plinth up` keeps the key it made."""
    return folder / "api-key"


def stack_file(folder: Path) -> Path:
    """Where `plinth up` notes its address and its processes."""
    return folder / "stack.json"


def read_stack(folder: Path) -> dict[str, Any]:
    """What `plinth up` noted; empty where there is nothing readable."""
    try:
        noted = json.loads(stack_file(folder).read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def service_url() -> str:
    """`PLINTH_URL`, else the address of the service that runs in the home folder, else the default one."""
    return os.environ.get("PLINTH_URL") or str(read_stack(home()).get("url") or DEFAULT_URL)


def api_key(url: str) -> str | None:
    """`PLINTH_API_KEY`, else what `plinth up` made: that one for a service on this machine only."""
    if given := os.environ.get("PLINTH_API_KEY"):
        return given
    if urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
        return None
    try:
        return api_key_file(home()).read_text().strip() or None
    except OSError:
        return None
