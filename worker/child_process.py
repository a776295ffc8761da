"""One child process of the worker.

In its own session, bound to this process, with a filtered environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from worker import control_channel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

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
RUN_VARIABLES = ("CUDA_", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "TORCH_", "PYTORCH_", "AWS_", "PLINTH_")
#: Variables that no run gets.
SECRET_VARIABLES = ("PLINTH_API_KEY", "PLINTH_REDIS_URL")


def environment_for_runs() -> dict[str, str]:
    """Return the environment of a child with access to the database and blobs."""
    return _filter_environment(BASE_VARIABLES + RUN_VARIABLES, without=SECRET_VARIABLES)


def environment_without_secrets() -> dict[str, str]:
    """Return the environment of a child that reads untrusted uploads."""
    return _filter_environment(BASE_VARIABLES, without=())


def _filter_environment(prefixes: tuple[str, ...], *, without: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes) and name not in without}


class ChildProcess:
    """The process `python -m module arguments`.

    Leaving the context kills what is left of its process group, and deletes an empty log.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self.requests: set[bytes] = set()
        self.was_killed = False
        self._leave_requested_at: float | None = None
        self._log = log
        self._channel = control_channel.SupervisorEnd()
        descriptor = self._channel.child_descriptor
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**environment, control_channel.VARIABLE: str(descriptor)},
                pass_fds=(descriptor,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._channel.close_child_end()

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
        self._process.wait()

    def receive_error(self) -> dict[str, Any] | None:
        """Return the error that the ended process reported, if any."""
        return self._channel.receive_error()

    def _request(self, request: bytes) -> None:
        if request not in self.requests:
            self.requests.add(request)
            self._channel.send_request(request)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Also after an orderly end: a grandchild may be left in the group.
        self._kill_group()
        self._process.wait()
        self._channel.close()
        with contextlib.suppress(FileNotFoundError):
            if not self._log.stat().st_size:
                self._log.unlink()
