"""Runs a command that dies with its parent: `python die_with_parent.py PARENT_PID COMMAND...`.

It is a separate script, because a `preexec_fn` may deadlock in a parent with threads. The setting survives the exec.
Only Linux has it; our own processes also watch a pipe (`PLINTH_PARENT_PIPE`), and the next start ends leftover
processes (see `plinth.local.stack`).
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Set the signal for the death of the parent, then exec the command."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("The parent process ended before the command started.")
    os.execvp(command[0], command)  # noqa: S606 - no shell is needed


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
