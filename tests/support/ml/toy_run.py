"""`python -m tests.support.ml.toy_run FOLDER N`: a run in a process of its own, which dies after N checkpoints."""

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from ml.learning.training.progress import Progress
from tests.support.ml.toys import schedule, trainer


def whole_run(folder: Path, told: Callable[[Progress], None] = lambda progress: None) -> str:
    """A digest of the weights it ends with. Every step is followed by a checkpoint."""
    torch.set_num_threads(1)
    run = trainer(folder, schedule=schedule(epochs=5, decay="cosine", checkpoint_every_seconds=1e-9), on_progress=told)
    run.fit()
    digest = hashlib.sha256()
    for name, item in sorted(run.objective.state_dict().items()):
        digest.update(name.encode() + item.numpy().tobytes())
    return digest.hexdigest()


class DieAfter:
    """No goodbye: the process is gone in the middle of its work."""

    def __init__(self, checkpoints: int) -> None:
        self.left = checkpoints

    def __call__(self, progress: Progress) -> None:
        self.left -= progress.checkpoint is not None
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    whole_run(Path(sys.argv[1]), DieAfter(int(sys.argv[2])))
