"""Time of one training in one process and in two, for the same steps.

    OMP_NUM_THREADS=1 python -m benchmarks.training.devices

A step computes the same batch of the same rows, in one process as a whole, in two as halves of which both add up the
gradients. Start and preparation are left out: the clocks run from the tenth step to the last. Both run in turns, and
each figure is the median of the ratios of neighbors. Two processes need two free cores: the load of the machine, which
is written into the note, says whether they had them. Where they had not, the CPU time of the busiest rank is what the
wall time would be on free cores, without the time of messages.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.record import figure, parse_args
from benchmarks.trainer_overhead import collate, usual
from ml.config import Choice
from ml.learning.nn.network import build
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.batches import Division, ShuffledBatches
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.distributed import ProcessGroup, SingleProcess
from ml.learning.training.trainer import Trainer
from ml.schedule import Schedule

CPU: Final = torch.device("cpu")
#: Steps before the clocks run: allocations, and what torch compiles at first.
WARM_UP: Final = 10
VOCABULARY: Final = 1_000
TOKENS: Final = 128


@dataclass
class Clocks:
    """Stop request that reads wall and CPU time after each step."""

    readings: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self) -> None:
        """Read both clocks."""
        self.readings.append((time.perf_counter(), time.process_time()))

    def seconds(self) -> tuple[float, float]:
        """Return wall seconds and CPU seconds after the warm-up."""
        (wall, cpu), (last_wall, last_cpu) = self.readings[WARM_UP - 1], self.readings[-1]
        return last_wall - wall, last_cpu - cpu


def cnn(rows: int) -> tuple[Any, dict[str, Any]]:
    """Return the default network of images, and images of 28 x 28 pixels."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, size=(rows, 1, 28, 28), dtype=np.uint8)
    return usual(), {"image": image, "label": generator.integers(0, 10, size=rows)}


def gpt(rows: int) -> tuple[Any, dict[str, Any]]:
    """Return the default network of texts, and windows of random tokens."""
    shape = {"vocabulary": VOCABULARY, "length": TOKENS, "padding": 0, "begin": 1, "end": 2}
    head = Choice(name="next_token", config={"vocabulary": VOCABULARY})
    network = build({"text": Choice(name="gpt")}, shapes={"text": shape}, head=head)
    objective_type = OBJECTIVES["causal_language_modeling"]
    text = np.random.default_rng(0).integers(3, VOCABULARY, size=(rows, TOKENS))
    columns = {"text": text, "text_mask": np.ones_like(text, dtype=bool)}
    return objective_type(objective_type.config_type(), network), columns


#: Figures of a run, with the ratio of two ranks that they should meet.
CLOCKS: Final = {"wall time": "<= 0.6", "CPU time": "<= 1.15", "CPU time of the busiest rank": "<= 0.6"}
NETWORKS: Final[dict[str, Any]] = {"cnn": (cnn, 128, 200), "gpt": (gpt, 16, 60)}


def train(name: str, processes: SingleProcess) -> tuple[float, float]:
    """Train a network; returns wall and CPU seconds of this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, batch_size, steps = NETWORKS[name]
    objective, columns = make(batch_size * steps)
    schedule = Schedule(
        epochs=1, batch_size=batch_size, optimizer="adamw", learning_rate=0.001, decay="cosine", precision="auto"
    )
    clocks = Clocks()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            objective,
            ShuffledBatches(
                columns,
                collate=collate if name == "cnn" else _as_they_are,
                batch_size=batch_size,
                seed=0,
                device=CPU,
                division=Division(processes.ranks, 1, processes.rank),
            ),
            None,
            schedule,
            device=CPU,
            checkpoints=Checkpoints(Path(folder), writes=processes.rank == 0),
            fingerprint="benchmark",
            on_progress=lambda _: None,
            should_stop=clocks,
            processes=processes,
        )
        trainer.fit()
    return clocks.seconds()


def _as_they_are(columns: dict[str, Any]) -> dict[str, Any]:
    return columns


def run(name: str, ranks: int) -> tuple[float, float, float]:
    """Train in new processes; returns wall, CPU and the largest CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.training.devices", "--network", name, "--ranks", str(ranks)]
        children = [
            subprocess.Popen([*command, "--rank", str(rank), "--folder", folder], stdout=subprocess.PIPE)
            for rank in range(ranks)
        ]
        outputs = [child.communicate(timeout=600)[0] for child in children]
    seconds = [json.loads(output) for output in outputs]
    cpu_seconds = [cpu for _, cpu in seconds]
    return seconds[0][0], sum(cpu_seconds), max(cpu_seconds)


def main() -> None:
    """Print and record the ratios of two processes to one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--folder", type=Path)
    arguments = parse_args(parser)
    if arguments.rank is not None:
        is_alone = arguments.ranks == 1
        rendezvous = arguments.folder / "rendezvous"
        processes = (
            SingleProcess()
            if is_alone
            else ProcessGroup(arguments.rank, arguments.ranks, device=CPU, rendezvous=rendezvous)
        )
        print(json.dumps(train(arguments.network, processes)))
        return
    for name in NETWORKS:
        pairs = [(run(name, 1), run(name, 2)) for _ in range(arguments.repeats)]
        load = os.getloadavg()[0]
        for index, (clock, aim) in enumerate(CLOCKS.items()):
            ratios = [divided[index] / alone[index] for alone, divided in pairs]
            seconds = ", ".join(f"{alone[index]:.1f} and {divided[index]:.1f}" for alone, divided in pairs)
            figure(
                f"{name}: {clock} of two ranks over one process",
                ratios,
                unit="ratio",
                aim=aim,
                note=f"load {load:.1f}; seconds of one and two: {seconds}",
            )
            print(f"{name} {clock}: {sorted(ratios)[len(ratios) // 2]:.2f} ({seconds}; load {load:.1f})", flush=True)


if __name__ == "__main__":
    main()
