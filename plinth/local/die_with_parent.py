"""Run a command that dies with the process that started it: `python die_with_parent.py PARENT_PID COMMAND...`.

A script of its own rather than a `preexec_fn`, which may deadlock in a parent that has threads. What it sets survives
the exec. Linux alone can do this; our own processes also watch a pipe (`PLINTH_PARENT_PIPE`), and the next start ends
whatever an earlier one left (see `plinth.local.stack`).
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Tie this process to its parent, then become the command."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("The process that started this one is gone.")
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
