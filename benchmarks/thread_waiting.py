"""Cost of threads that wait: two trainings with two threads each.

`python -m benchmarks.thread_waiting [--steps N]` trains a small convolutional network in two processes at once: with
one thread, with two, and with two that sleep while they wait (`OMP_WAIT_POLICY=PASSIVE`, the default of runs). It
prints the processor seconds of both processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

from benchmarks.record import figure, parse_args
from worker.child_process import THREAD_VARIABLES

PROCESSES = 2
TRAINING = """
import sys, torch
from torch import nn
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 12 * 12, 10)
)
optimizer = torch.optim.SGD(network.parameters(), 0.01)
images, labels = torch.rand(64, 1, 28, 28), torch.randint(10, (64,))
for _ in range(int(sys.argv[2])):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    steps = parse_args(parser).steps
    table = Table("threads of a process", "CPU-s", "s", title=f"{PROCESSES} processes, {steps} steps")
    start = measure(1, 0, {})[0]
    for name, threads, variables in (("1", 1, {}), ("2", 2, {}), ("2, waiting asleep", 2, THREAD_VARIABLES)):
        cpu_seconds, seconds = measure(threads, steps, variables)
        figure(f"two trainings at once, threads: {name}", cpu_seconds - start, unit="CPU-s")
        table.add_row(name, f"{cpu_seconds - start:.1f}", f"{seconds:.1f}")
    Console().print(table)


def measure(threads: int, steps: int, variables: dict[str, str]) -> tuple[float, float]:
    """Processor seconds and seconds of all processes, imports included."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_"))}
    command = [sys.executable, "-c", TRAINING, str(threads), str(steps)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    processes = [subprocess.Popen(command, env={**environment, **variables}) for _ in range(PROCESSES)]
    if any(process.wait() for process in processes):
        raise SystemExit("a training failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_seconds, time.monotonic() - began


if __name__ == "__main__":
    main()
