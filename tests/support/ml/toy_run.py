"""A run that kills its process: `python -m tests.support.ml.toy_run FOLDER CHECKPOINTS`."""

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from ml.learning.training.progress import Progress
from tests.support.ml.toys import schedule, trainer


def whole_run(folder: Path, on_progress: Callable[[Progress], None] = lambda progress: None) -> str:
    """Return a digest of the final weights; each step is followed by a checkpoint."""
    torch.set_num_threads(1)
    run = trainer(
        folder, schedule=schedule(epochs=5, decay="cosine", checkpoint_every_seconds=1e-9), on_progress=on_progress
    )
    run.fit()
    digest = hashlib.sha256()
    for name, tensor in sorted(run.objective.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


class DieAfter:
    """Kill this process by a signal after a number of checkpoints."""

    def __init__(self, checkpoints: int) -> None:
        self.left = checkpoints

    def __call__(self, progress: Progress) -> None:
        self.left -= progress.checkpoint is not None
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    whole_run(Path(sys.argv[1]), DieAfter(int(sys.argv[2])))
