"""The supervising process, and the reservation of GPUs."""

import subprocess
import sys

import pytest

from worker.jobs import gpu_lock


def test_the_process_that_supervises_never_imports_torch():
    code = "import sys, worker.__main__; print(sorted(name for name in sys.modules if name in ('torch', 'pyarrow')))"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert modules.strip() == "[]"


def test_a_gpu_has_one_run_at_a_time(tmp_path):
    first = gpu_lock._reserve_first_free(["cuda:0", "cuda:1"], tmp_path)
    second = gpu_lock._reserve_first_free(["cuda:0", "cuda:1"], tmp_path)
    assert (first[0], second[0]) == ("cuda:0", "cuda:1")
    assert gpu_lock._reserve_first_free(["cuda:0", "cuda:1"], tmp_path) is None
    first[1].close()
    again = gpu_lock._reserve_first_free(["cuda:0", "cuda:1"], tmp_path)
    assert again[0] == "cuda:0"
    for _, lock in (again, second):
        lock.close()


def test_the_cpu_is_shared(tmp_path):
    never = pytest.fail
    with (
        gpu_lock.gpu_lock("cpu", locks=tmp_path, on_wait=never, should_leave=bool) as first,
        gpu_lock.gpu_lock("cpu", locks=tmp_path, on_wait=never, should_leave=bool) as second,
    ):
        assert (first, second) == ("cpu", "cpu")
