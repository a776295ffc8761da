"""`python -m tests.ml.learning.toy_run FOLDER [--die-after-checkpoints N]`: one run in a process of its own."""

import hashlib
import os
import signal
import sys
from pathlib import Path

import torch

from ml.learning.progress import Progress
from tests.ml.learning.toys import schedule, trainer


def main() -> None:
    torch.set_num_threads(1)
    left = int(sys.argv[3]) if len(sys.argv) > 2 else None

    def told(progress: Progress) -> None:
        nonlocal left
        if left is not None and progress.checkpoint is not None:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    plan = schedule(epochs=5, decay="cosine", checkpoint_every_seconds=1e-9)
    run = trainer(Path(sys.argv[1]), schedule=plan, on_progress=told)
    run.fit()
    digest = hashlib.sha256()
    for name, each in sorted(run.objective.state_dict().items()):
        digest.update(name.encode() + each.numpy().tobytes())
    sys.stdout.write(digest.hexdigest())


if __name__ == "__main__":
    main()
