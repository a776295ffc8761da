"""Cost of the Trainer per step against a bare PyTorch loop.

    python -m benchmarks.trainer_overhead

The same work: take the rows, collate, set the learning rate, autocast, forward, backward, clip, step. Both end with the
same weights, bit for bit, or this says so and gives no figure. Both run in one process by turns, a short block of steps
each, and every block of the Trainer is compared with the mean of the two bare blocks around it: what else the machine
does falls on both. Time is CPU time. Progress, stop requests, divergence checks and checkpoints are as in a real run,
and come more often than there, since the clock that they go by does not stop while the bare loop has its turn.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.record import figure, parse_args
from ml.config import Choice, Config
from ml.learning.nn.network import Network, build
from ml.learning.nn.objectives.base import Objective
from ml.learning.nn.objectives.supervised import Supervised, SupervisedConfig
from ml.learning.training.batches import ShuffledBatches
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.optimizers import learning_rate, make_optimizer, require_resolved
from ml.learning.training.trainer import Trainer, half_precision
from ml.schedule import Schedule

AIM = 0.03
CPU = torch.device("cpu")
STEPS_AN_EPOCH = 50
RESAMPLINGS = 2_000


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
    """Network for 8 x 8 pixels."""
    return Perceptron()


def usual() -> Objective:
    """The catalog's default network on 28 x 28 pixels."""
    shapes = {"image": {"channels": 1, "height": 28, "width": 28}}
    head = Choice(name="classifier", config={"classes": 10})
    return Supervised(SupervisedConfig(), build({"image": Choice(name="cnn")}, shapes=shapes, head=head))


def collate(columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """Collate as the image encoder does."""
    return {"image": np.divide(columns["image"], 255, dtype=np.float32), "label": columns["label"]}


def bare_loop(objective: Objective, columns: dict[str, Any], schedule: Schedule) -> Iterator[None]:
    """Bare loop that does the same work, and pauses after every step."""
    moving = list(objective.parameters())
    stepper = make_optimizer(moving, schedule)
    rows, size = len(columns["label"]), require_resolved(schedule.batch_size)
    rate = learning_rate(schedule, steps=require_resolved(schedule.epochs) * (rows // size))
    half = half_precision(schedule, CPU)
    objective.train()
    step = 0
    for epoch in range(require_resolved(schedule.epochs)):
        order = np.random.default_rng([0, epoch]).permutation(rows)
        losses = []
        for start in range(0, rows - size + 1, size):
            used = order[start : start + size]
            arrays = collate({name: column[used] for name, column in columns.items()})
            batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
            for group in stepper.param_groups:
                group["lr"] = rate(step)
            with torch.autocast("cpu", dtype=half) if half else contextlib.nullcontext():
                loss: Any = objective(batch)["loss"]
            stepper.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(moving, require_resolved(schedule.gradient_clip_norm))
            stepper.step()
            losses.append(loss.detach())
            step += 1
            if step % STEPS_AN_EPOCH == 0:
                torch.stack(losses).mean().item()
            yield


@dataclass
class Turns:
    """Stop request of the Trainer, used to let the bare loop take its turn."""

    bare: Iterator[None]
    #: Steps.
    block: int
    bare_seconds: list[float] = field(default_factory=list)
    trainer_seconds: list[float] = field(default_factory=list)
    _steps: int = 0
    _began: float = 0.0

    def begin(self) -> None:
        """The bare loop goes first, and once more at the end."""
        self._take_turn()
        self._began = time.process_time()

    def __call__(self) -> None:
        """Count, and let the bare loop run where it is its turn."""
        self._steps += 1
        if self._steps % self.block == 0:
            self.trainer_seconds.append(time.process_time() - self._began)
            self._take_turn()
            self._began = time.process_time()

    def _take_turn(self) -> None:
        began = time.process_time()
        used = sum(1 for _ in islice(self.bare, self.block))
        if used == self.block:
            self.bare_seconds.append(time.process_time() - began)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the seconds of each block of the Trainer and of the bare loop."""
        before, after = np.array(self.bare_seconds[:-1]), np.array(self.bare_seconds[1:])
        remaining = slice(len(before) // 20 + 1, len(before))
        return np.array(self.trainer_seconds)[remaining], ((before + after) / 2)[remaining]


def measure(make: Callable[[], Objective], *, side: int, batch_size: int, blocks: int, block: int) -> Turns:
    """Both loops over the same rows, from the same weights."""
    generator = np.random.default_rng(0)
    rows = batch_size * STEPS_AN_EPOCH
    columns: dict[str, Any] = {
        "image": generator.integers(0, 256, size=(rows, 1, side, side), dtype=np.uint8),
        "label": generator.integers(0, 10, size=rows),
    }
    schedule = Schedule(
        epochs=-(-blocks * block // STEPS_AN_EPOCH),
        batch_size=batch_size,
        optimizer="adamw",
        learning_rate=0.001,
        decay="cosine",
        gradient_clip_norm=1.0,
        precision="auto",
    )
    objectives = []
    for _ in range(2):
        torch.manual_seed(0)
        objectives.append(make())
    bare, trained = objectives
    turns = Turns(bare_loop(bare, columns, schedule), block)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            trained,
            ShuffledBatches(columns, collate=collate, batch_size=batch_size, seed=0, device=CPU),
            None,
            schedule,
            device=CPU,
            checkpoints=Checkpoints(Path(folder)),
            fingerprint="benchmark",
            on_progress=lambda _: None,
            should_stop=turns,
        )
        turns.begin()
        trainer.fit()
    for bare_weights, trained_weights in zip(bare.state_dict().values(), trained.state_dict().values(), strict=True):
        if not torch.equal(bare_weights, trained_weights):
            raise SystemExit("the two loops did not do the same work: their weights differ")
    return turns


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % of the medians of ratios drawn again from these (percentile bootstrap)."""
    drawn = np.random.default_rng(0).choice(ratios, size=(RESAMPLINGS, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Print a table, and report whether the aim was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny-blocks", type=int, default=400)
    parser.add_argument("--usual-blocks", type=int, default=200)
    arguments = parse_args(parser)
    torch.set_num_threads(1)
    print("network  batch  block  pairs  bare ms/step  trainer ms/step  overhead (95 % of medians)  all steps")
    met = True
    for name, make, side, batch_size, blocks, block in (
        ("tiny", tiny, 8, 32, arguments.tiny_blocks, 50),
        ("usual", usual, 28, 128, arguments.usual_blocks, 5),
    ):
        turns = measure(make, side=side, batch_size=batch_size, blocks=blocks, block=block)
        ours, theirs = turns.pairs()
        ratios = ours / theirs
        low, high = interval(ratios)
        whole = ours.sum() / theirs.sum() - 1
        figure(
            f"{name}: CPU time per step over a bare PyTorch loop",
            (median(ratios) - 1) * 100,
            unit="%",
            aim=f"<= {AIM * 100:g}",
            interval=((low - 1) * 100, (high - 1) * 100),
            note=f"{len(ratios)} pairs of blocks; {median(theirs) / block * 1000:.1f} ms per step",
        )
        met = met and median(ratios) - 1 <= AIM
        print(
            f"{name:<7} {batch_size:>6} {block:>6} {len(ratios):>6}"
            f" {median(theirs) / block * 1000:>13.3f} {median(ours) / block * 1000:>16.3f}"
            f" {median(ratios) - 1:>+10.1%} ({low - 1:+.1%} to {high - 1:+.1%}) {whole:>+14.1%}",
            flush=True,
        )
    print(f"aim: at most +{AIM:.0%} for both: {'met' if met else 'NOT met'}")


if __name__ == "__main__":
    main()
