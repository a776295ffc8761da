"""Clients of other projects, as packages in folders of their own.

What they require may not fit what the service requires. A folder is made once and kept below `.venv`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from tests.support.repository import REPOSITORY

PROJECT: Final = REPOSITORY / "pyproject.toml"
INSTALL_SECONDS: Final = 150


def install_group(group: str, folder: Path) -> None:
    """Install a dependency group of this project into a folder, without what its packages require."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    process = subprocess.run(
        [*command, "--target", folder, "--group", f"{PROJECT}:{group}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )
    assert process.returncode == 0, process.stdout + process.stderr


def packages_of(group: str) -> Path:
    """Return the folder with the packages of a group, installed at the first use."""
    pins = tomllib.loads(PROJECT.read_text())["dependency-groups"][group]
    fingerprint = hashlib.sha256("\n".join([sys.version, *pins]).encode()).hexdigest()
    name = f"{group}-{fingerprint[:16]}"
    folder = Path(sys.prefix) / "clients" / name
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            made = Path(unfinished, name)
            install_group(group, made)
            # Another process may have installed it meanwhile.
            try:
                made.rename(folder)
            except OSError:
                assert folder.exists()
    return folder
