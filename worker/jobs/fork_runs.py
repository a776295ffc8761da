"""`python -m worker.jobs.fork_runs`: import what runs need, and fork them.

Each request on the standard input, a socket, makes one run. A fork shares the memory of what is imported here, and
begins where a new process is after three seconds. It must find nothing else: this process has one thread, computes
nothing (a fork after the first operation of torch hangs in its next one), and opens neither GPU nor database.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import runpy
import select
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from ml.errors import SpecError
from ml.registry import Registry
from worker import control_channel
from worker.fork_server import MAX_MESSAGE_BYTES
from worker.job_kinds import PROGRAMS
from worker.settings import worker_settings

#: What programs and libraries import only once they need it: the first optimizer imports `torch._dynamo`.
IMPORTED_LATE: Final = (
    "ml.learning.pipeline.train",
    "ml.learning.interchange.exporter",
    "worker.jobs.gpu_lock",
    "onnx",
    "torch._dynamo",
)
TASKS = Path("/proc/self/task")


def main() -> int:
    """Serve requests until the worker has ended, or report why runs cannot be forked."""
    control_channel.die_with_parent_thread()
    requests = socket.socket(fileno=sys.stdin.fileno())
    # What the imports make stays: looking for garbage in it is a fifth of their time.
    gc.disable()
    obstacle = find_gpu()
    if not obstacle:
        import_everything()
        obstacle = find_threads()
    if obstacle:
        requests.send(json.dumps({"obstacle": obstacle}).encode())
        # Requests that nobody reads would reset the connection, and lose the message.
        while requests.recv(MAX_MESSAGE_BYTES):
            pass
        return 0
    # The garbage collector of a run leaves alone what it shares; else it would copy each page.
    gc.collect()
    gc.freeze()
    gc.enable()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ready = {"bytes": usage.ru_maxrss * 1024, "cpu_seconds": usage.ru_utime + usage.ru_stime}
    requests.send(json.dumps(ready).encode())
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, MAX_MESSAGE_BYTES, 3)
        if not message:
            return 0
        fork(json.loads(message), descriptors, requests)


def import_everything() -> None:
    """Import the programs, what they import late, and the classes of the registries."""
    for module in (*(program.module for program in PROGRAMS.values()), *IMPORTED_LATE):
        import_module(module)
    from ml.encoders import ENCODERS
    from ml.learning.nn.architectures import ARCHITECTURES
    from ml.learning.nn.heads import HEADS
    from ml.learning.nn.objectives import OBJECTIVES
    from ml.learning.training.tuning import TUNINGS
    from ml.tasks import TASKS

    registries: tuple[Registry[Any], ...] = (ARCHITECTURES, ENCODERS, HEADS, OBJECTIVES, TASKS, TUNINGS)
    for registry in registries:
        # Each class is imported by its first use.
        list(registry.values())


def find_gpu() -> str | None:
    """Return that runs use a GPU, which a process must open by itself, or None."""
    from ml.learning.nn import device

    try:
        chosen = device.choose(worker_settings().device)
    except SpecError as error:
        return error.message
    return None if chosen.name == "cpu" else f"training uses {chosen.name}, which each process must open by itself"


def find_threads() -> str | None:
    """Return that imports have started threads, which forks would lack, or None."""
    count = len(list(TASKS.iterdir())) - 1
    return f"imports have started {count} threads, which forks would lack" if count else None


def fork(command: list[str], descriptors: list[int], requests: socket.socket) -> None:
    """Fork a run as a child of the worker, and reply with its process id.

    The process in between ends at once, and the kernel passes its orphan to the worker, which is a subreaper.
    """
    output, channel, reply = descriptors
    if not _is_closed(reply):
        (read_end, write_end), (start, started) = os.pipe(), os.pipe()
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)
            os.setsid()
            # Only now is it the leader of its group, which the worker may kill.
            os.write(write_end, str(os.getpid()).encode())
            for descriptor in (read_end, write_end, started, reply):
                os.close(descriptor)
            # Nothing runs before the worker can know of it.
            if not os.read(start, 1):
                os._exit(0)
            os.close(start)
            requests.detach()
            run(command, output, channel)
        os.close(write_end)
        pid = os.read(read_end, 32)
        os.waitpid(between, 0)
        if _reply(reply, pid):
            os.write(started, b".")
        for descriptor in (read_end, start, started):
            os.close(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)


def run(command: list[str], output: int, channel: int) -> NoReturn:
    """Do what `python -m` does with the command, in this process."""
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for descriptor in (null, output):
        os.close(descriptor)
    os.environ[control_channel.VARIABLE] = str(channel)
    module, *arguments = command
    _write_command_line([sys.executable, "-m", *command])
    _reseed()
    sys.argv = [module, *arguments]
    # It runs as `__main__`, as a second copy of what is imported here.
    sys.modules.pop(module, None)
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _is_closed(pipe: int) -> bool:
    """Return whether nobody can read what is written to a pipe."""
    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


def _reply(pipe: int, pid: bytes) -> bool:
    """Write the process id, empty if there is none; returns whether somebody can read it."""
    try:
        return bool(os.write(pipe, pid))
    except BrokenPipeError:
        return False


def _reseed() -> None:
    """Seed the global generator of numpy, whose state forks would share.

    `random` does so by itself, and that of torch begins alike in every process.
    """
    import numpy as np

    np.random.seed()


def _write_command_line(arguments: list[str]) -> None:
    """Show the command of the run to `ps`, in place of the fork server's.

    The library `setproctitle` would overwrite the environment with it, and Celery would rename the worker.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    content = b"\0".join(argument.encode() for argument in arguments)[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, content, len(content))


if __name__ == "__main__":
    sys.exit(main())
