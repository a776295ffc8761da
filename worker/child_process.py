"""One child process of the worker.

In its own session, bound to this process, with a filtered environment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from worker import control_channel
from worker.fork_server import ForkedProcess, ForkFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from worker.fork_server import ForkServer

log = logging.getLogger(__name__)

#: Prefixes of the environment variables that every child gets.
BASE_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYTHON",
    "VIRTUAL_ENV",
    "SSL_CERT",
)
#: Prefixes of the additional variables of a run: its hardware, the database and the blobs.
RUN_VARIABLES = (
    *("CUDA_", "NVIDIA_", "NCCL_", "TORCH_", "PYTORCH_", "AWS_", "PLINTH_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_"),
)
#: Variables that no run gets.
SECRET_VARIABLES = ("PLINTH_API_KEY", "PLINTH_REDIS_URL")
#: What runs get unless the worker has other values. Threads that wait for work sleep: those that spin cost several
#: times the work where there are more threads than free cores. KMP is the OpenMP of Intel and LLVM. The BLAS of numpy
#: starts its threads at the import, so that the fork server would have them, and its forks none.
THREAD_VARIABLES = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_NUM_THREADS": "1"}


def environment_for_runs() -> dict[str, str]:
    """Return the environment of a child with access to the database and blobs."""
    return {**THREAD_VARIABLES, **_filter_environment(BASE_VARIABLES + RUN_VARIABLES, without=SECRET_VARIABLES)}


def environment_without_secrets() -> dict[str, str]:
    """Return the environment of a child that reads untrusted uploads."""
    return _filter_environment(BASE_VARIABLES, without=())


def _filter_environment(prefixes: tuple[str, ...], *, without: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes) and name not in without}


class ChildProcess:
    """The process `python -m module arguments`, a fork of `fork_server` if there is one.

    Leaving the context kills what is left of its process group, and deletes an empty log.

    Args:
        module: Program to run.
        arguments: Its arguments.
        environment: Its environment; the fork server must have the same.
        log: File that its output is appended to.
        fork_server: None for a new interpreter, which also takes the place of a fork that failed.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        log: Path,
        fork_server: ForkServer | None = None,
    ) -> None:
        self.requests: set[bytes] = set()
        self.was_killed = False
        self._leave_requested_at: float | None = None
        self._channel = control_channel.SupervisorEnd()
        self._command = (module, *arguments)
        self._environment = environment
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._fork(fork_server) if fork_server else self._spawn()

    def _fork(self, server: ForkServer) -> ForkedProcess:
        with self._log.open("ab") as output:
            return server.fork(self._command, output=output.fileno(), channel=self._channel.child_descriptor)

    def _spawn(self) -> subprocess.Popen[bytes]:
        descriptor = self._channel.child_descriptor
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                env={**self._environment, control_channel.VARIABLE: str(descriptor)},
                pass_fds=(descriptor,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._channel.close_child_end()
        return process

    @property
    def status(self) -> int:
        """The exit status, negative for a signal; waits for the end of the process."""
        return self._process.wait()

    @property
    def seconds_since_leave_request(self) -> float:
        """Seconds since the process was requested to leave; 0 before."""
        return 0 if self._leave_requested_at is None else time.monotonic() - self._leave_requested_at

    def wait(self, seconds: float) -> bool:
        """Wait at most this long for the end of the process.

        Return whether it has ended.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        except ForkFailed:
            log.info("%s: not forked, starts as a new process", " ".join(self._command))
            self._process = self._spawn()
            return False
        finally:
            if self._process.pid is not None:
                self._channel.close_child_end()
        return True

    def request_leave(self) -> None:
        """Request the process to save a checkpoint and exit."""
        self._request(control_channel.LEAVE)
        self._leave_requested_at = self._leave_requested_at or time.monotonic()

    def request_finish(self) -> None:
        """Request the process to finish now with the best weights so far."""
        self._request(control_channel.FINISH)

    def kill(self) -> None:
        """Kill the whole process group."""
        self.was_killed = True
        self._kill_group()

    def receive_error(self) -> dict[str, Any] | None:
        """Return the error that the ended process reported, if any."""
        return self._channel.receive_error()

    def _request(self, request: bytes) -> None:
        if request not in self.requests:
            self.requests.add(request)
            self._channel.send_request(request)

    def _kill_group(self) -> None:
        """Kill the process group, and wait until none of it is left."""
        if isinstance(self._process, ForkedProcess):
            self._process.cancel()
        group = self._process.pid
        if group is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        # Orphans of the group are children of this process if it has a fork server.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-group, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Also after an orderly end: a grandchild may be left in the group.
        self._kill_group()
        self._channel.close()
        with contextlib.suppress(FileNotFoundError):
            if not self._log.stat().st_size:
                self._log.unlink()
