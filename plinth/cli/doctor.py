"""`plinth doctor`: checks everything that the service depends on, and names fixes."""

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
class Check:
    """Result of one check, with a fix if it failed."""

    name: str
    is_ok: bool
    detail: str
    fix: str | None = None


def run_checks() -> Iterator[Check]:
    """Run the checks one after another and yield their results as they finish."""
    yield _check_service()
    yield _check_device()
    yield _check_traces()
    with _check_broker() as (broker, environment):
        if broker:
            yield broker
        for check in _check_store(environment):
            if not (broker and check.name == broker.name):
                yield check


def _check_service() -> Check:
    """Check the running service.

    A stopped service is no failure: the other checks work without it.
    """
    from plinth.client.client import Plinth

    if not read_stack(home()) and not os.environ.get("PLINTH_URL"):
        return Check(name="service", is_ok=True, detail=f"not running in {home()}; start it with: plinth up")
    with Plinth(timeout_seconds=5) as plinth:
        try:
            system = plinth.system()
        except Unauthorized as error:
            fix = f"Set PLINTH_API_KEY, or set PLINTH_HOME to the folder of the service (now {home()})."
            return Check(name="service", is_ok=False, detail=f"{plinth.url}: {error.detail}", fix=fix)
        except PlinthError as error:
            return Check(name="service", is_ok=False, detail=str(error), fix="plinth up")
        count = len(system.get("workers", []))
        detail = f"{plinth.url}, version {system.get('version')}, {count} worker{'' if count == 1 else 's'}"
        return Check(
            name="service", is_ok=count > 0, detail=detail, fix=None if count else "Start a worker: python -m worker"
        )


def _check_device() -> Check:
    device = _run_module("worker.jobs.device_probe", os.environ, "--torch")
    if isinstance(device, str):
        return Check(
            name="device", is_ok=False, detail=device, fix=f"{install_command('server')}, or set PLINTH_DEVICE=auto"
        )
    facts = ", ".join(f"{name} {device[name]}" for name in ("torch", "precision", "threads") if name in device)
    if "threads_why" in device:
        facts += f": {device['threads_why']}"
    return Check(name="device", is_ok=True, detail=f"{device['device']}: {device['why']} ({facts})")


def _check_traces() -> Check:
    result = _run_module("store.telemetry", os.environ)
    if isinstance(result, str):
        return Check(name="traces", is_ok=False, detail=result, fix=install_command("server"))
    return Check(name="traces", is_ok=result["ok"], detail=result["detail"], fix=result["fix"])


@contextmanager
def _check_broker() -> Iterator[tuple[Check | None, Mapping[str, str]]]:
    """Yield the check of the embedded broker, and the environment for later checks.

    A configured or running broker is checked by the store, so the check is None. Otherwise a temporary broker is
    started in a folder of its own, to prove that one can start.
    """
    url = os.environ.get("PLINTH_REDIS_URL") or read_stack(home()).get("redis_url")
    if url:
        yield None, {**os.environ, "PLINTH_REDIS_URL": str(url)}
        return
    with tempfile.TemporaryDirectory(prefix="plinth-doctor-") as folder:
        broker = EmbeddedBroker(Path(folder))
        try:
            temporary_url = broker.start()
        except BrokerError as error:
            fix = f"{install_command('server')}, or set PLINTH_REDIS_URL to a running server"
            yield Check(name="broker", is_ok=False, detail=str(error), fix=fix), dict(os.environ)
            return
        try:
            detail = f"embedded, starts with the service: {resolve_server_binary()}"
            yield (
                Check(name="broker", is_ok=True, detail=detail),
                {**os.environ, "PLINTH_REDIS_URL": temporary_url},
            )
        finally:
            broker.stop()


def _check_store(environment: Mapping[str, str]) -> Iterator[Check]:
    is_first_start = not os.environ.get("PLINTH_DATABASE_URL") and not (home() / "plinth.db").exists()
    if is_first_start:
        environment = {**environment, "PLINTH_DATABASE_URL": "sqlite://"}
    results = _run_module("store", environment)
    if isinstance(results, str):
        yield Check(name="store", is_ok=False, detail=results, fix=install_command("server"))
        return
    if is_first_start:
        results["database"] = {"ok": True, "detail": f"none in {home()} yet; created at the first start"}
    for name, result in results.items():
        yield Check(name=name, is_ok=result["ok"], detail=result["detail"], fix=result.get("fix"))


def _run_module(module: str, environment: Mapping[str, str], *arguments: str) -> dict[str, Any] | str:
    """Run a module and return the JSON object that it prints, or an error message."""
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        process = subprocess.run(
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
        result = json.loads(process.stdout)
    except ValueError:
        last_line = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return f"python -m {module}: {last_line}"
    return result if isinstance(result, dict) else f"python -m {module} did not print a JSON object"
