"""How to install the parts of Plinth that this installation lacks."""

from __future__ import annotations

import shlex
from pathlib import Path

# The project named `plinth` on the package index is someone else's: no message may tell people to install that.
DISTRIBUTION = "plinth-ml"


def install_command(extra: str) -> str:
    """The pip command that adds an extra, `api` or `server`, to the installation this code runs from.

    A clone is installed from its folder, since the index may lack this version; anything else from the index.
    """
    clone = _clone()
    if clone is None:
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    source = "." if clone == Path.cwd() else str(clone)
    return f"pip install {shlex.quote(f'{source}[{extra}]')}"


def _clone() -> Path | None:
    """The root folder of the source tree that holds this file, or None for an installed wheel."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None
