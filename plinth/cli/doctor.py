"""`plinth doctor`: looks at everything the service stands on, each with its fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plinth.client.errors import PlinthError, Unauthorized
from plinth.client.home import home, read_stack
from plinth.installation import install_command
from plinth.local.broker import BrokerError, EmbeddedBroker, resolve_server_binary

CHECK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, whether it is well, and what to do where it is not."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None


def examine() -> Iterator[Finding]:
    """One finding after the other, as each is known."""
    yield _service()
    yield _device()
    with _broker() as (broker, environment):
        if broker:
            yield broker
        for finding in _store(environment):
            if not (broker and finding.name == broker.name):
                yield finding


def _service() -> Finding:
    """Not running is no fault: everything below can be looked at all the same."""
    from plinth.client.client import Plinth

    if not read_stack(home()) and not os.environ.get("PLINTH_URL"):
        return Finding(name="service", ok=True, detail=f"not running in {home()}; start it with: plinth up")
    with Plinth(timeout_seconds=5) as plinth:
        try:
            system = plinth.system()
        except Unauthorized as error:
            fix = f"Set PLINTH_API_KEY, or PLINTH_HOME to the folder of the service (now {home()})."
            return Finding(name="service", ok=False, detail=f"{plinth.url}: {error.detail}", fix=fix)
        except PlinthError as error:
            return Finding(name="service", ok=False, detail=str(error), fix="plinth up")
        count = len(system.get("workers", []))
        detail = f"{plinth.url}, version {system.get('version')}, {count} worker{'' if count == 1 else 's'}"
        return Finding(
            name="service", ok=count > 0, detail=detail, fix=None if count else "Start a worker: python -m worker"
        )


def _device() -> Finding:
    found = _ask("worker.jobs.device", os.environ)
    if isinstance(found, str):
        return Finding(
            name="device", ok=False, detail=found, fix=f"{install_command('server')}, or set PLINTH_DEVICE=auto"
        )
    facts = ", ".join(f"{name} {found[name]}" for name in ("torch", "precision", "threads") if name in found)
    return Finding(name="device", ok=True, detail=f"{found['device']}: {found['why']} ({facts})")


@contextmanager
def _broker() -> Iterator[tuple[Finding | None, Mapping[str, str]]]:
    """The broker that runs; else, to prove that one would, a passing one in a folder of its own."""
    url = os.environ.get("PLINTH_REDIS_URL") or read_stack(home()).get("redis_url")
    if url:
        yield None, {**os.environ, "PLINTH_REDIS_URL": str(url)}
        return
    with tempfile.TemporaryDirectory(prefix="plinth-doctor-") as folder:
        broker = EmbeddedBroker(Path(folder))
        try:
            passing = broker.start()
        except BrokerError as error:
            fix = f"{install_command('server')}, or set PLINTH_REDIS_URL to a running server"
            yield Finding(name="broker", ok=False, detail=str(error), fix=fix), dict(os.environ)
            return
        try:
            detail = f"embedded, starts with the service: {resolve_server_binary()}"
            yield Finding(name="broker", ok=True, detail=detail), {**os.environ, "PLINTH_REDIS_URL": passing}
        finally:
            broker.stop()


def _store(environment: Mapping[str, str]) -> Iterator[Finding]:
    is_first_time = not os.environ.get("PLINTH_DATABASE_URL") and not (home() / "plinth.db").exists()
    found = _ask("store", {**environment, "PLINTH_DATABASE_URL": "sqlite://"} if is_first_time else environment)
    if isinstance(found, str):
        yield Finding(name="store", ok=False, detail=found, fix=install_command("server"))
        return
    if is_first_time:
        found["database"] = {"ok": True, "detail": f"none in {home()} yet; made at the first start"}
    for name, part in found.items():
        yield Finding(name=name, ok=part["ok"], detail=part["detail"], fix=part.get("fix"))


def _ask(module: str, environment: Mapping[str, str]) -> dict[str, Any] | str:
    """The JSON that a check prints, or in words why there is none."""
    command = [sys.executable, "-P", "-m", module]
    try:
        asked = subprocess.run(
            command,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        return f"python -m {module} did not end within {CHECK_SECONDS:.0f} s"
    try:
        answer = json.loads(asked.stdout)
    except ValueError:
        last_line = (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]
        return f"python -m {module}: {last_line}"
    return answer if isinstance(answer, dict) else f"python -m {module} did not answer with an object"
