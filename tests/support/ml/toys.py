"""A tiny network and data from a formula, for hundreds of steps in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ml.config import Config
from ml.learning.nn.network import Network
from ml.learning.nn.objectives.base import Objective
from ml.learning.training.batches import SequentialBatches, ShuffledBatches
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.trainer import Trainer
from ml.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from ml.learning.training.batches import Columns
    from ml.learning.training.progress import Stop

CPU = torch.device("cpu")
ROWS = 96


class Toy(Objective):
    """Regression with dropout and batch normalization, whose random state and statistics are saved."""

    name = "toy"
    summary = "for tests"
    source = "none"
    config_type = Config

    def __init__(self) -> None:
        super().__init__(Config(), Network({}))
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": (self.layers(batch["x"]).squeeze(1) - batch["y"]).square().mean()}


def columns(seed: int = 0, rows: int = ROWS) -> Columns:
    x = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    return {"x": x, "y": np.sin(x.sum(axis=1))}


def jitter(batch: Columns, generator: np.random.Generator) -> Columns:
    x = np.asarray(batch["x"])
    return {**batch, "x": x + generator.normal(scale=0.05, size=x.shape).astype(np.float32)}


def schedule(**changes: Any) -> Schedule:
    defaults = {"epochs": 6, "batch_size": 16, "optimizer": "adamw", "learning_rate": 0.01, "precision": "float32"}
    return Schedule.model_validate({**defaults, **changes})


def trainer(folder: Path, *, objective: Objective | None = None, **changes: Any) -> Trainer:
    """Freshly seeded; `schedule`, `train`, `validation`, `on_progress` and `should_stop` may be set."""
    torch.manual_seed(0)
    objective = objective or Toy()
    plan = changes.pop("schedule", None) or schedule()
    defaults: dict[str, Any] = {
        "train": ShuffledBatches(
            columns(), collate=dict, augment=jitter, batch_size=plan.batch_size, seed=0, device=CPU
        ),
        "validation": SequentialBatches(columns(1), collate=dict, batch_size=40, device=CPU),
        "device": CPU,
        "checkpoints": Checkpoints(folder),
        "fingerprint": "toy",
        "on_progress": lambda progress: None,
        "should_stop": lambda: None,
    }
    options = {**defaults, **changes}
    return Trainer(objective, options.pop("train"), options.pop("validation"), plan, **options)


class AtStep:
    """Requests `stop` at the call with this number."""

    def __init__(self, step: int, stop: Stop) -> None:
        self.left, self.stop = step, stop

    def __call__(self) -> Stop | None:
        self.left -= 1
        return self.stop if self.left == 0 else None
