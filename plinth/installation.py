"""Commands that install missing parts of Plinth."""

from __future__ import annotations

import shlex
from pathlib import Path

# The project `plinth` on the package index is not ours, so no message may name it in an install command.
DISTRIBUTION = "plinth-ml"


def install_command(extra: str) -> str:
    """Return the pip command that adds an extra to this installation.

    Extras are `api`, `server`, `heic` and `telemetry`.

    A clone is installed from its folder, since the index may lack this version; a wheel from the index.
    """
    clone = _find_clone()
    if clone is None:
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    source = "." if clone == Path.cwd() else str(clone)
    return f"pip install {shlex.quote(f'{source}[{extra}]')}"


def _find_clone() -> Path | None:
    """Return the root folder of the clone, or None for an installed wheel."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None
