"""`python -m ml.learning.pipeline.rank`: train as a further rank of a training.

It reads a `RankRequest` from the standard input, which rank 0 holds open as long as it lives.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import traceback

from ml.errors import TrainingDiverged, TrainingInterrupted
from ml.learning.pipeline.ranks import RankRequest
from ml.learning.pipeline.train import train_as_rank
from ml.out_of_memory import is_out_of_memory


def main() -> int:
    """Train until the training ends, or until rank 0 does."""
    # Rank 0 decides when to stop, and tells the others.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    request = RankRequest(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_first_rank, name="rank 0", daemon=True).start()
    ready = os.dup(1)
    os.dup2(2, 1)
    try:
        train_as_rank(request, ready=ready)
    except (TrainingDiverged, TrainingInterrupted):
        # Rank 0 says so.
        return 0
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.print_exc()
        return errno.ENOMEM
    return 0


def _end_with_first_rank() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
