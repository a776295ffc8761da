"""Trainings whose batches are divided, in one process or in several.

`python -m tests.support.ml.divided_runs RANK RANKS RENDEZVOUS REPORT DEVICE` is one rank of several. It trains every
objective, and rank 0 writes what `train` returns, by the name of the objective. A training that is interrupted leaves
its checkpoints beside the report.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

from ml.errors import TrainingInterrupted
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.batches import Division, SequentialBatches, ShuffledBatches
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.distributed import ProcessGroup, SingleProcess
from ml.learning.training.progress import Stop
from ml.learning.training.trainer import Trainer
from tests.support.ml.objectives import build_objective, make_batch
from tests.support.ml.toys import CPU, AtStep, schedule

if TYPE_CHECKING:
    from ml.learning.training.batches import Columns


def train(
    name: str, *, accumulate: int, processes: SingleProcess, device: torch.device = CPU, **changes: Any
) -> dict[str, Any]:
    """Train an objective for six steps; returns a digest of its weights, and its metrics."""
    objective = build_objective(name).to(device)
    columns: Columns = {column: tensor.numpy() for column, tensor in make_batch().items()}
    plan = schedule(epochs=2, batch_size=10, accumulate=accumulate, gradient_clip_norm=1.0)
    division = Division(processes.ranks, accumulate, processes.rank)
    with TemporaryDirectory() as folder:
        options: dict[str, Any] = {"checkpoints": Checkpoints(Path(folder)), "should_stop": lambda: None, **changes}
        trainer = Trainer(
            objective,
            ShuffledBatches(
                columns, collate=dict, augment=_jitter, batch_size=10, seed=5, device=device, division=division
            ),
            # Three batches, so that the first of two ranks has one more.
            SequentialBatches(columns, collate=dict, batch_size=12, device=device),
            plan,
            device=device,
            fingerprint=name,
            on_progress=lambda progress: None,
            processes=processes,
            seed=5,
            **options,
        )
        result = trainer.fit()
    return {"weights": digest(objective), "metrics": result.metrics, "steps": result.steps}


def _jitter(batch: Columns, generator: np.random.Generator) -> Columns:
    image = np.asarray(batch["image"])
    return {**batch, "image": image + generator.normal(scale=0.02, size=image.shape).astype("float32")}


def interrupt(folder: Path, *, processes: SingleProcess) -> None:
    """Leave a training in its second epoch, with a checkpoint in `folder`."""
    checkpoints = Checkpoints(folder, writes=processes.rank == 0)
    # Calls: three steps, two batches of validation, the fourth step.
    should_stop = AtStep(6, Stop.LEAVE) if processes.rank == 0 else lambda: None
    with suppress(TrainingInterrupted):
        train("supervised", accumulate=1, processes=processes, checkpoints=checkpoints, should_stop=should_stop)


def stop(*, processes: SingleProcess) -> dict[str, Any]:
    """Train until rank 0 is asked to finish, after the second step."""
    should_stop = AtStep(2, Stop.FINISH) if processes.rank == 0 else lambda: None
    return train("supervised", accumulate=1, processes=processes, should_stop=should_stop)


def digest(module: torch.nn.Module) -> str:
    """Return the SHA-256 of the weights and buffers of a module."""
    content = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        content.update(name.encode() + tensor.cpu().numpy().tobytes())
    return content.hexdigest()


def main(rank: int, ranks: int, rendezvous: Path, report: Path, device_type: str) -> None:
    """Train as one rank; on GPUs the supervised objective alone."""
    torch.set_num_threads(1)
    device = torch.device(device_type, rank if device_type == "cuda" else None)
    group = ProcessGroup(rank, ranks, device=device, rendezvous=rendezvous)
    connections = psutil.Process().net_connections()
    addresses = {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
    names = ["supervised"] if device_type == "cuda" else list(OBJECTIVES)
    results: dict[str, Any] = {name: train(name, accumulate=1, processes=group, device=device) for name in names}
    if device_type == "cpu":
        results["steps until a stop"] = stop(processes=group)["steps"]
        interrupt(report.parent, processes=group)
    results["addresses"] = sorted(addresses)
    if rank == 0:
        report.write_text(json.dumps(results))
    group.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
