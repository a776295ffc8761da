"""MovieLens: default recipe beside popularity, on the last movie of each user.

`python -m benchmarks.tasks.recommendation` reads `ratings.csv` as it is, parts it by time and trains in this process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "movielens-latest-small" / "ratings.csv"
TASK = "recommendation"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="ratings.csv, or any log of interactions")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parse_args(parser)
    if not arguments.data.exists():
        sys.exit(f"skipped: there is no {arguments.data}; name a log of interactions with --data")
    print(
        f"{'':<14} {'seed':>4} {'HR@10':>7} {'NDCG@10':>8} {'MRR':>7} {'HR@10 of 100':>13} {'epochs':>7} {'CPU s':>6}"
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        report = import_dataset([arguments.data], dataset, task=TASK, tasks=TASKS)
        if report.state != "ready":
            sys.exit(f"the data was rejected: {report.errors}")
        for seed in arguments.seeds:
            _run(dataset, Path(folder) / str(seed), seed)


def _run(dataset: Path, folder: Path, seed: int) -> None:
    folder.mkdir()
    request = {"kind": "finetune", "dataset": "movielens", "task": TASK, "model": "films", "seed": seed}
    began = time.process_time()
    spec = TypeAdapter[Spec](Spec).validate_python(request)
    made = train(spec, dataset, folder, device="cpu")
    seconds = time.process_time() - began
    assert made.report is not None, "a task was trained"
    _show("popularity", seed, made.report["baseline"])
    figure(f"HR@10 of 100, seed {seed}", made.report["metrics"]["hit_rate_at_10_of_100"] * 100, unit="%", aim=">= 69")
    _show("default recipe", seed, made.report["metrics"], f"{made.report['training']['epochs']:>7} {seconds:>6.0f}")


def _show(name: str, seed: int, result: dict[str, float], more: str = "") -> None:
    all_items = f"{result['hit_rate_at_10']:>7.2%} {result['ndcg_at_10']:>8.4f} {result['mean_reciprocal_rank']:>7.4f}"
    print(f"{name:<14} {seed:>4} {all_items} {result['hit_rate_at_10_of_100']:>13.2%} {more}", flush=True)


if __name__ == "__main__":
    main()
