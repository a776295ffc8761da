"""One child process of the worker: in its own session, tied to this process, told only what it needs to know."""

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

KNOWN_TO_CHILDREN = (
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
"""Prefixes of the variables that any child needs."""
KNOWN_TO_RUNS = ("CUDA_", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "TORCH_", "PYTORCH_", "AWS_", "PLINTH_")
"""Prefixes of those that a run needs besides: its hardware, the database and the blobs."""
SECRET_TO_RUNS = ("PLINTH_API_KEY", "PLINTH_REDIS_URL")


def environment_for_runs() -> dict[str, str]:
    """The environment of a child that reads the database and the blobs, without the keys to anything else."""
    return _only(KNOWN_TO_CHILDREN + KNOWN_TO_RUNS, without=SECRET_TO_RUNS)


def environment_without_secrets() -> dict[str, str]:
    """The environment of a child that reads what strangers sent."""
    return _only(KNOWN_TO_CHILDREN, without=())


def _only(prefixes: tuple[str, ...], *, without: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes) and name not in without}


class ChildProcess:
    """`python -m module arguments`, from its start to its end; leaving the context kills what is left of its group."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self.asked: set[bytes] = set()
        self.was_killed = False
        self._leaving_since: float | None = None
        self._line = control_channel.SupervisorEnd()
        descriptor = self._line.child_descriptor
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
        self._line.let_go_of_the_other_end()

    @property
    def status(self) -> int:
        """The exit status, negative for a signal; waits for the end."""
        return self._process.wait()

    @property
    def seconds_leaving(self) -> float:
        """Since it was asked to leave; 0 before."""
        return 0 if self._leaving_since is None else time.monotonic() - self._leaving_since

    def ended_within(self, seconds: float) -> bool:
        """Wait that long at most for its end."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ask_to_leave(self) -> None:
        """Save a checkpoint and go."""
        self._ask(control_channel.LEAVE)
        self._leaving_since = self._leaving_since or time.monotonic()

    def ask_to_finish(self) -> None:
        """End the training now and make a model of the best so far."""
        self._ask(control_channel.FINISH)

    def kill(self) -> None:
        """End the whole group at once."""
        self.was_killed = True
        self._kill_group()
        self._process.wait()

    def last_words(self) -> dict[str, Any] | None:
        """Why it ended, in its own words."""
        return self._line.last_words()

    def _ask(self, request: bytes) -> None:
        if request not in self.asked:
            self.asked.add(request)
            self._line.ask(request)

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
        self._line.close()
