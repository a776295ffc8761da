"""What the Trainer costs per step over a bare PyTorch loop that does the same work.

The same work: take the rows, collate, set the learning rate, forward, backward, clip, step. Both loops run by turns in
one process, in CPU seconds; the overhead is the median over pairs. `python benchmarks/trainer_overhead.py`
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.batches import Shuffled
from ml.learning.checkpoint import Checkpoints
from ml.learning.network import Network, build
from ml.learning.objectives.base import Objective
from ml.learning.objectives.supervised import Supervised, SupervisedConfig
from ml.learning.optimization import given, learning_rate, optimizer
from ml.learning.trainer import Trainer
from ml.schedule import Schedule
from ml.spec import Choice

CPU = torch.device("cpu")
STEPS_AN_EPOCH = 50


class Perceptron(Objective):
    """The tiny network: 64 numbers, 64 hidden units, 10 classes."""

    name = "perceptron"
    config_type = Config

    def __init__(self) -> None:
        super().__init__(Config(), Network({}))
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy."""
        return {"loss": functional.cross_entropy(self.layers(batch["image"]), batch["label"])}


def tiny() -> Objective:
    """On 8 x 8 pixels."""
    return Perceptron()


def usual() -> Objective:
    """The catalogue's default network on 28 x 28 pixels."""
    shapes = {"image": {"channels": 1, "height": 28, "width": 28}}
    head = Choice(name="classifier", config={"classes": 10})
    return Supervised(SupervisedConfig(), build({"image": Choice(name="cnn")}, shapes=shapes, head=head))


def collate(columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """As the image encoder does it."""
    return {"image": np.divide(columns["image"], 255, dtype=np.float32), "label": columns["label"]}


def bare_loop(objective: Objective, columns: dict[str, Any], schedule: Schedule) -> int:
    """What one would write by hand: nothing but the work."""
    moving = list(objective.parameters())
    stepper = optimizer(moving, schedule)
    rows, size = len(columns["label"]), given(schedule.batch_size)
    steps = given(schedule.epochs) * (rows // size)
    rate = learning_rate(schedule, steps=steps)
    objective.train()
    losses = []
    step = 0
    for epoch in range(given(schedule.epochs)):
        order = np.random.default_rng(epoch).permutation(rows)
        for start in range(0, rows - size + 1, size):
            taken = order[start : start + size]
            arrays = collate({name: column[taken] for name, column in columns.items()})
            batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
            for group in stepper.param_groups:
                group["lr"] = rate(step)
            loss: Any = objective(batch)["loss"]
            stepper.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(moving, given(schedule.gradient_clip_norm))
            stepper.step()
            losses.append(loss.detach())
            step += 1
    torch.stack(losses).mean().item()
    return steps


def trainer_loop(objective: Objective, columns: dict[str, Any], schedule: Schedule) -> int:
    """The same by the Trainer, with progress, stop requests, divergence checks and checkpoints as in a real run."""
    with tempfile.TemporaryDirectory() as folder:
        train = Shuffled(columns, collate=collate, batch_size=given(schedule.batch_size), seed=0, device=CPU)
        trainer = Trainer(
            objective,
            train,
            None,
            schedule,
            device=CPU,
            checkpoints=Checkpoints(Path(folder)),
            run="benchmark",
            on_progress=lambda _: None,
            should_stop=lambda: None,
        )
        return trainer.fit().steps


def measure(make: Any, side: int, batch_size: int, steps: int, repetitions: int) -> tuple[list[float], list[float]]:
    """CPU milliseconds a step of the bare loop and of the Trainer, by turns."""
    generator = np.random.default_rng(0)
    rows = batch_size * STEPS_AN_EPOCH
    columns = {
        "image": generator.integers(0, 256, size=(rows, 1, side, side), dtype=np.uint8),
        "label": generator.integers(0, 10, size=rows),
    }
    schedule = Schedule(
        epochs=max(1, steps // STEPS_AN_EPOCH),
        batch_size=batch_size,
        optimizer="adamw",
        learning_rate=0.001,
        decay="cosine",
        gradient_clip_norm=1.0,
        precision="float32",
    )
    found: dict[Any, list[float]] = {bare_loop: [], trainer_loop: []}
    for repetition in range(repetitions + 1):
        for loop in (bare_loop, trainer_loop) if repetition % 2 else (trainer_loop, bare_loop):
            torch.manual_seed(0)
            objective = make()
            began = time.process_time()
            taken = loop(objective, columns, schedule)
            if repetition:  # the first warms up
                found[loop].append((time.process_time() - began) / taken * 1000)
    return found[bare_loop], found[trainer_loop]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--tiny-steps", type=int, default=30_000)
    parser.add_argument("--usual-steps", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'network':<8} {'batch':>6} {'bare ms/step':>13} {'trainer ms/step':>16} {'overhead':>9}  (median of pairs)"
    )
    for name, make, side, batch, steps in (
        ("tiny", tiny, 8, 32, arguments.tiny_steps),
        ("usual", usual, 28, 128, arguments.usual_steps),
    ):
        bare, trained = measure(make, side, batch, steps, arguments.repetitions)
        overhead = median(ours / theirs for ours, theirs in zip(trained, bare, strict=True)) - 1
        print(f"{name:<8} {batch:>6} {median(bare):>13.3f} {median(trained):>16.3f} {overhead:>9.1%}")


if __name__ == "__main__":
    main()
