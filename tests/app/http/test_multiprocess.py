"""Several processes on one socket, as `python -m app --api-processes 2` starts them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from store import models
from store.database import transaction
from tests.support.api_process import ApiProcess
from tests.support.factories import png, register, shades
from tests.support.homes import use_home
from tests.support.worker.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def api(home: Path) -> Iterator[ApiProcess]:
    process = ApiProcess(home)
    process.environment["PLINTH_API_PROCESSES"] = "2"
    with process:
        yield process


def processes_of(api: ApiProcess) -> set[int]:
    return {child.pid for child in psutil.Process(api.pid).children()}


def responding_process(api: ApiProcess) -> tuple[int, str]:
    """Pid and number of the process that answers a new connection."""
    metrics = api.request("GET", "/metrics")[2].decode()
    match = re.search(r'plinth_api_process_info\{api_process="(\d)",pid="(\d+)"\} 1.0', metrics)
    assert match, metrics[-500:]
    assert re.search(r'process_cpu_seconds_total\{api_process="\d"\}', metrics)
    return int(match[2]), match[1]


def version(api: ApiProcess) -> tuple[int, str]:
    status, _, body = api.request("POST", "/predict/shades", headers={"Content-Type": "image/png"}, body=png(100))
    assert status == 200, body
    response = json.loads(body)
    return response["version"], response["outputs"][0]["label"]


def until_both_answer(api: ApiProcess) -> None:
    pids: set[int] = set()

    def both() -> bool:
        with ThreadPoolExecutor(8) as pool:
            pids.update(pid for pid, _ in pool.map(lambda _: responding_process(api), range(16)))
        return processes_of(api) <= pids

    until(both)


def test_two_processes_answer_follow_an_alias_and_are_restarted(api: ApiProcess, home: Path, tmp_path: Path) -> None:
    with use_home(home):
        register(shades(tmp_path / "first"))
        register(shades(tmp_path / "second", bias=15.0))
        with transaction() as session:
            models.set_alias(session, "shades", "production", 1)
    until_both_answer(api)
    first = processes_of(api)
    assert len(first) == 2
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: version(api), range(60))) == {(1, "dark")}

        with use_home(home), transaction() as session:
            models.set_alias(session, "shades", "production", 2)
        time.sleep(1.1)  # Twice the time that a name is trusted, and a look-up.
        pool.map(lambda _: version(api), range(20))
        until(lambda: set(pool.map(lambda _: version(api), range(40))) == {(2, "light")})

    killed = responding_process(api)[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(processes_of(api)) == 2 and killed not in processes_of(api))
    until_both_answer(api)
    assert len(processes_of(api) & first) == 1
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: version(api), range(40))) == {(2, "light")}

    processes = processes_of(api)
    assert api.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in processes)


def test_processes_end_with_their_parent(api: ApiProcess) -> None:
    until(lambda: len(processes_of(api)) == 2)
    processes = processes_of(api)
    api.kill()
    until(lambda: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in processes))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_api_ends_at_the_end_of_the_pipe_to_its_starter(home: Path, processes: str) -> None:
    api = ApiProcess(home)
    api.environment["PLINTH_API_PROCESSES"] = processes
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    api.environment["PLINTH_PARENT_PIPE"] = str(read_end)
    api.descriptors = (read_end,)
    with api:
        pid = api.pid
        os.close(read_end)
        os.close(write_end)
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert api.kill() == 0


def test_settings_that_must_not_be_served_end_all_processes(home: Path) -> None:
    process = ApiProcess(home)
    process.environment |= {"PLINTH_API_PROCESSES": "2", "PLINTH_HOST": "0.0.0.0"}
    process.environment.pop("PLINTH_API_KEY")
    with pytest.raises(RuntimeError, match="Refusing to listen"):
        process.__enter__()
    assert process.kill() == 78


def test_products_of_arrays_are_computed_on_one_thread(home: Path) -> None:
    environment = {**os.environ, "PLINTH_HOME": str(home), "PLINTH_HOST": "0.0.0.0"}
    for name in ("OPENBLAS_NUM_THREADS", "PLINTH_API_KEY"):
        environment.pop(name, None)
    # It serves nothing, as it has no key; numpy would be imported after that.
    program = "import os, app.__main__ as api; print(api.main(), os.environ['OPENBLAS_NUM_THREADS'])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["78", "1"]
