"""The supervising process, and the reservation of GPUs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.worker.machine import Machine
from tests.support.worker.waiting import until
from worker import sandbox
from worker.jobs import gpu_lock


def test_the_process_that_supervises_never_imports_torch():
    code = "import sys, worker.__main__; print(sorted(name for name in sys.modules if name in ('torch', 'pyarrow')))"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert modules.strip() == "[]"


@pytest.mark.process
def test_a_worker_ends_at_the_end_of_the_pipe_to_its_starter(tmp_path):
    read_end, write_end = os.pipe()
    with Machine(tmp_path) as machine:
        worker = machine.start_worker(descriptors=(read_end,), PLINTH_PARENT_PIPE=str(read_end))
        os.close(read_end)
        until(machine.workers_alive)
        os.close(write_end)
        # Celery handles SIGTERM only once it has started.
        assert worker.wait(20) in (0, -signal.SIGTERM)


@pytest.mark.process
def test_a_sandboxed_reader_ends_at_the_end_of_its_input(tmp_path):
    limits = {"memory_bytes": 2**30, "cpu_seconds": 60, "file_bytes": 2**30}
    fifo = tmp_path / "never written"
    os.mkfifo(fifo)
    # The reader blocks on the source, a FIFO without a writer.
    arguments = {"sources": [str(fifo)], "into": str(tmp_path / "dataset"), "task": None}
    request = {"reader": "dataset", "arguments": arguments, "report": str(tmp_path / "report"), "limits": limits}
    with subprocess.Popen([sys.executable, "-m", sandbox.__name__], stdin=subprocess.PIPE) as process:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.stdin.close()
        assert process.wait(20) == -signal.SIGKILL


def test_a_gpu_has_one_run_at_a_time(tmp_path):
    names = ["cuda:0", "cuda:1"]
    first = gpu_lock._reserve_first_free(names, tmp_path, 1)
    second = gpu_lock._reserve_first_free(names, tmp_path, 1)
    assert (list(first), list(second)) == (["cuda:0"], ["cuda:1"])
    assert gpu_lock._reserve_first_free(names, tmp_path, 1) == {}
    first["cuda:0"].close()
    # A run of two GPUs holds none while one of them is in use.
    assert gpu_lock._reserve_first_free(names, tmp_path, 2) == {}
    again = gpu_lock._reserve_first_free(names, tmp_path, 1)
    assert list(again) == ["cuda:0"]
    for lock in (again["cuda:0"], second["cuda:1"]):
        lock.close()
    both = gpu_lock._reserve_first_free(names, tmp_path, 2)
    assert list(both) == names
    for lock in both.values():
        lock.close()


def test_the_cpu_is_shared(tmp_path):
    never = pytest.fail
    with (
        gpu_lock.gpu_locks("cpu", 2, locks=tmp_path, on_wait=never, should_leave=bool) as first,
        gpu_lock.gpu_locks("cpu", 1, locks=tmp_path, on_wait=never, should_leave=bool) as second,
    ):
        assert (first, second) == (["cpu", "cpu"], ["cpu"])
