"""System: workers, devices, queue, disk, keys, versions and settings."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from app.health import service as health
from app.web.view import View
from plinth import __version__
from store.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from starlette.requests import Request

PACKAGES: Final = ("torch", "onnxruntime", "fastapi", "uvicorn", "sqlalchemy", "celery", "pyarrow", "numpy")
#: Settings whose values can hold a password.
_ADDRESSES: Final = ("url",)


def _context(request: Request) -> Mapping[str, Any]:
    return {
        "parts": [(name, part) for name, part in health.readiness() if name != "ready"],
        "versions": versions(),
        "settings": [*settings_of(request.app.state.settings), *settings_of(store_settings())],
        "own_key": request.state.key_id,
    }


@cache
def versions() -> list[tuple[str, str]]:
    """Return the versions of Plinth, Python and the packages that matter, where they are installed."""
    listed = [
        ("Plinth", __version__),
        ("Python", platform.python_version()),
        ("System", f"{platform.system()} {platform.machine()}"),
    ]
    for name in PACKAGES:
        try:
            listed.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return listed


def settings_of(settings: BaseModel) -> list[tuple[str, str, bool]]:
    """Return settings as variable, value and whether it differs from the default; no secrets."""
    listed = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        text = "" if value is None else str(value)
        if isinstance(value, SecretStr) or name.endswith(_ADDRESSES):
            text = "set" if value else ""
        listed.append((f"PLINTH_{name.upper()}", text, value != field.get_default(call_default_factory=True)))
    return listed


VIEW = View(title="System", path="/system", place=70, context=_context)
