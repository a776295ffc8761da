"""Ratings of MovieLens: the default recipe beside the sum of biases and the mean.

A tenth of the ratings is the test, at random; users and films are in all splits.

    python -m benchmarks.tasks.recommendation.ratings
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

RATINGS: Final = SHARED_DATA / "movielens-latest-small" / "ratings.csv"


def main() -> int:
    """Train, and print RMSE and MAE of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse_args(parser)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        columns = {"value": "rating"}
        report = import_dataset([RATINGS], folder / "dataset", task="rating_prediction", columns=columns, tasks=TASKS)
        assert report.state == "ready", report.errors
        request = {"kind": "finetune", "dataset": "ratings", "task": "rating_prediction", "model": "ratings"}
        spec = TypeAdapter[Spec](Spec).validate_python(request)
        (folder / "run").mkdir()
        began = time.process_time()
        result = train(spec, folder / "dataset", folder / "run", device="cpu")
        seconds = time.process_time() - began
    sections = result.report
    for name in ("rmse", "mae"):
        interval = sections["intervals"][name]
        value, biases = sections["metrics"][name], sections["reference"]["metrics"][name]
        baseline = sections["baseline"][name]
        low, high = interval
        print(f"{name}: {value:.3f} [{low:.3f}, {high:.3f}], biases {biases:.3f}, mean {baseline:.3f}")
        note = f"{sections['rows']:,} ratings; sum of biases {biases:.3f}, mean {baseline:.3f}"
        figure(f"movielens-latest-small: {name}", value, unit="stars", interval=interval, note=note)
    print(f"{seconds:.0f} CPU s")
    figure("movielens-latest-small: training", seconds, unit="CPU-s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
