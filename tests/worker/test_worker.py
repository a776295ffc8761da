import subprocess
import sys

import pytest

from worker.jobs import gpu_lock


def test_the_process_that_supervises_never_imports_torch():
    code = "import sys, worker.__main__; print(sorted(name for name in sys.modules if name in ('torch', 'pyarrow')))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() == "[]"


def test_a_gpu_has_one_run_at_a_time(tmp_path):
    taken = gpu_lock._first_free(["cuda:0", "cuda:1"], tmp_path)
    other = gpu_lock._first_free(["cuda:0", "cuda:1"], tmp_path)
    assert (taken[0], other[0]) == ("cuda:0", "cuda:1")
    assert gpu_lock._first_free(["cuda:0", "cuda:1"], tmp_path) is None
    taken[1].close()
    again = gpu_lock._first_free(["cuda:0", "cuda:1"], tmp_path)
    assert again[0] == "cuda:0"
    for _, lock in (again, other):
        lock.close()


def test_the_processor_is_for_everyone(tmp_path):
    never = pytest.fail
    with (
        gpu_lock.gpu_lock("cpu", locks=tmp_path, on_wait=never, should_leave=bool) as first,
        gpu_lock.gpu_lock("cpu", locks=tmp_path, on_wait=never, should_leave=bool) as second,
    ):
        assert (first, second) == ("cpu", "cpu")
