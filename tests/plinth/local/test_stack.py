"""`plinth up` with its real processes, when they or it are killed."""

import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from plinth import Plinth
from plinth.client.home import read_stack, stack_file
from plinth.local.broker import EmbeddedBroker
from plinth.local.processes import identify
from tests.support.stack import RunningStack, clean_environment

pytestmark = pytest.mark.process

Start = Callable[..., RunningStack]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows other processes' environment")


def list_processes(home: Path) -> dict[int, str]:
    """List processes with this home as current folder, in their environment or command."""
    result = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            current_folder = (folder / "cwd").readlink()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if state != "Z" and (
            f"PLINTH_HOME={home}\0".encode() in environment or str(home) in f"{command} {current_folder}"
        ):
            result[int(folder.name)] = command
    return result


def wait_for(condition: Callable[[], object], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
            parts = json.loads(response.read())
    except OSError:
        return False
    return all(parts[name]["ok"] for name in ("database", "broker", "blobs", "workers"))


def end_soon(stack: RunningStack, signal_number: int) -> None:
    started_at = time.monotonic()
    stack.process.send_signal(signal_number)
    assert stack.process.wait(15) == 0
    # 5 s are allowed; the processes of the suite beside it take up to twice that.
    assert time.monotonic() - started_at < 10
    assert list_processes(stack.home) == {}
    assert read_stack(stack.home) == {}


def run_up(home: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plinth", "up", "--home", str(home), *options],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean_environment(), **variables},
        check=False,
    )


def test_it_prints_a_curl_command_that_works(stack: RunningStack) -> None:
    wait_for(lambda: "device" in stack.output.read_text(), seconds=30)
    printed = stack.output.read_text()
    assert f"{stack.url}/docs" in printed
    (line,) = [line for line in printed.splitlines() if "curl" in line]
    if shutil.which("curl") is None:
        pytest.skip("no curl here to paste the line into")
    command = shlex.split(line[line.index("curl") :])
    pasted = subprocess.run([*command, "--silent", "--fail"], capture_output=True, text=True, timeout=20, check=True)
    assert "image_classification" in pasted.stdout


def test_its_files_are_readable_by_their_owner_only(stack: RunningStack) -> None:
    assert stat.S_IMODE((stack.home / "api-key").stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.home / "plinth.db").stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(stack_file(stack.home).stat().st_mode) & 0o077 == 0


def test_a_second_start_on_the_same_folder_is_an_error(stack: RunningStack) -> None:
    second = run_up(stack.home, "--port", "0")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert stack.url in second.stderr
    assert is_ready(stack.url)


def test_the_error_of_a_used_port_names_the_option_for_a_free_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        failed = run_up(tmp_path / "home", "--port", str(port))
    assert failed.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in failed.stderr
    assert "--port 0" in failed.stderr


@linux_only
def test_a_start_that_fails_prints_the_reason_and_ends_its_processes(tmp_path: Path) -> None:
    failed = run_up(tmp_path / "home", "--port", "0", PLINTH_DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert failed.returncode == 1
    assert "unable to open database file" in failed.stderr
    assert list_processes(tmp_path / "home") == {}


@linux_only
def test_killed_processes_are_restarted(start_stack: Start) -> None:
    stack = start_stack()
    for name in ("app", "worker", "broker"):
        killed = stack.pid_of(name)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda name=name, killed=killed: stack.pid_of(name) != killed, seconds=10)
        wait_for(lambda: is_ready(stack.url), seconds=20)
        assert f"{name} ended (signal 9)" in stack.output.read_text()


@linux_only
def test_ctrl_c_ends_even_stopped_processes_soon(start_stack: Start) -> None:
    stack = start_stack()
    assert len(list_processes(stack.home)) >= 4
    os.kill(stack.pid_of("worker"), signal.SIGSTOP)
    os.kill(stack.pid_of("broker"), signal.SIGSTOP)
    end_soon(stack, signal.SIGINT)


@linux_only
def test_plinth_down_ends_the_service_of_its_folder_and_waits(start_stack: Start, tmp_path: Path) -> None:
    stack = start_stack()

    def down(home: Path) -> str:
        command = [sys.executable, "-m", "plinth", "down", "--home", str(home)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout

    assert down(tmp_path / "other") == f"No service runs in {tmp_path / 'other'}.\n"
    assert stack.process.poll() is None
    # The test is the parent, which must collect the ended process.
    waiter = threading.Thread(target=stack.process.wait)
    waiter.start()
    assert down(stack.home).startswith(f"Stopped the service in {stack.home} (process {stack.process.pid}).")
    waiter.join(5)
    assert list_processes(stack.home) == {}
    assert down(stack.home) == f"No service runs in {stack.home}.\n"


@linux_only
def test_its_children_end_with_it_and_the_next_start_resumes_jobs(start_stack: Start, digits_zip: Path) -> None:
    stack = start_stack()
    with stack.client() as plinth:
        dataset = plinth.datasets.wait(plinth.datasets.upload(digits_zip).id, timeout_seconds=60)
        job = plinth.jobs.finetune(
            dataset.id, task="image_classification", architecture="cnn", schedule={"epochs": 5_000}, model="endless"
        )
        wait_for(lambda: plinth.jobs.get(job.id).progress.step, seconds=60)
    assert is_training(stack.home)
    end_soon(stack, signal.SIGTERM)

    second = start_stack(stack.home)
    assert second.api_key == stack.api_key
    wait_for(lambda: is_training(stack.home), seconds=60)
    second.process.kill()
    second.process.wait()
    wait_for(lambda: list_processes(stack.home) == {}, seconds=3)
    assert read_stack(stack.home)["ready"], "the killed process could not delete its record"

    third = start_stack(stack.home)
    with third.client() as plinth:
        assert plinth.jobs.get(job.id).attempt == 2
        plinth.jobs.cancel(job.id)


def is_training(home: Path) -> bool:
    return any("worker.jobs.train" in command for command in list_processes(home).values())


@linux_only
def test_only_leftover_processes_with_the_recorded_identity_are_ended(start_stack: Start, tmp_path: Path) -> None:
    """The stack also uses the key and the broker that the environment names."""
    broker = EmbeddedBroker(tmp_path / "broker")
    with (
        subprocess.Popen(["sleep", "60"], start_new_session=True) as leftover,
        subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger,
    ):
        try:
            home = tmp_path / "home"
            home.mkdir()
            records = [
                {"name": "worker", "pid": leftover.pid, "identity": identify(leftover.pid)},
                {"name": "app", "pid": stranger.pid, "identity": "of an earlier process with this pid"},
            ]
            stack_file(home).write_text(json.dumps({"processes": records}))
            stack = start_stack(home, PLINTH_API_KEY="a-key-of-my-own-choice", PLINTH_REDIS_URL=broker.start())
            assert not (home / "api-key").exists()
            assert [record["name"] for record in read_stack(home)["processes"]] == ["app", "worker"]
            with Plinth(stack.url, "a-key-of-my-own-choice") as plinth:
                assert plinth.catalog()["tasks"]
            stack.process.terminate()
            assert stack.process.wait(8) == 0
            assert broker.process.poll() is None
            assert leftover.wait(1) == -signal.SIGKILL
            assert stranger.poll() is None
            assert "Ended processes left over from an earlier run: worker." in stack.output.read_text()
        finally:
            broker.stop()
            leftover.kill()
            stranger.kill()
