"""MovieLens with texts: films that training has seen, and films that it has not.

`python -m benchmarks.tasks.recommendation.cold_start` reads `ratings.csv` and `movies.csv` and trains in
this process. For the unseen films, a tenth of all films is withheld from training; the last of them that a user has
rated is the target.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = SHARED_DATA / "movielens-latest-small"
#: Fraction of the films that training does not see.
WITHHELD: Final = 0.1
HIT_RATE, OF_100, OF_100_NEW = "hit_rate_at_10", "hit_rate_at_10_of_100", "hit_rate_at_10_of_100_new"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of ratings.csv and movies.csv")
    parser.add_argument("--films", nargs="+", choices=("seen", "unseen"), default=["seen", "unseen"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--own-dropout", type=float, help="option of the task (default: that of the recipe)")
    arguments = parse_args(parser)
    if not (arguments.data / "movies.csv").exists():
        sys.exit(f"skipped: there is no {arguments.data}/movies.csv; name its folder with --data")
    files = [arguments.data / "ratings.csv", arguments.data / "movies.csv"]
    print(
        f"{'films':<8} {'model':<22} {'seed':>4} {'HR@10':>7} {'of 100':>7} {'of 100 new':>10} {'rows':>5} {'CPU s':>6}"
    )
    config = {} if arguments.own_dropout is None else {"own_dropout": arguments.own_dropout}
    pairs = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            if "seen" in arguments.films:
                pairs.append(_compare_seen(files, Path(folder), seed, config))
            if "unseen" in arguments.films:
                _measure_unseen(files, Path(folder), seed, config)
    if pairs:
        _record_seen(pairs)


def _record_seen(pairs: Sequence[tuple[float, float]]) -> None:
    """Record hit rates in percent, as pairs of both models.

    The first of a pair is that of the model of texts, the second that of the id model.
    """
    by_text, by_id = zip(*pairs, strict=True)
    figure("HR@10, seen films, id model", by_id, unit="%")
    differences = [ours - theirs for ours, theirs in pairs]
    note = f"points above the id model, by seed: {', '.join(f'{difference:+.2f}' for difference in differences)}"
    aim = f">= {median(by_id):.2f} (id model)"
    figure("HR@10, seen films, model of texts", by_text, unit="%", aim=aim, note=note)


def _compare_seen(files: Sequence[Path], folder: Path, seed: int, config: Mapping[str, float]) -> tuple[float, float]:
    """Return hit rates in percent of both models, for the last film of each user.

    The first is that of the model of texts, the second that of the id model.
    """
    _import(files, folder / "all")
    by_id, seconds = _train(folder, "all", "recommendation", seed)
    _show("seen", "recommendation", seed, by_id["metrics"], by_id["rows"], seconds)
    _show("seen", "popularity", seed, by_id["baseline"], by_id["rows"])
    report, seconds = _train(folder, "all", "content_recommendation", seed, config)
    _show("seen", "content_recommendation", seed, report["metrics"], report["rows"], seconds)
    return 100 * report["metrics"][HIT_RATE], 100 * by_id["metrics"][HIT_RATE]


def _measure_unseen(files: Sequence[Path], folder: Path, seed: int, config: Mapping[str, float]) -> None:
    """Rank films that training has not seen, for the users who have rated them."""
    parts = _withhold(files[0], folder / "parts", seed)
    _import([*parts, files[1]], folder / "withheld")
    report, seconds = _train(folder, "withheld", "content_recommendation", seed, config)
    cold = report["cold"]
    _show("unseen", "content_recommendation", seed, cold["metrics"], cold["rows"], seconds)
    _show("unseen", "most popular genres", seed, cold["baseline"], cold["rows"])
    for name, title in ((OF_100, "HR@10 of 100"), (OF_100_NEW, "HR@10 of 100 unseen")):
        value, baseline = cold["metrics"][name], cold["baseline"][name]
        aim = f">= 20, > {100 * baseline:.1f} (most popular genres)"
        figure(f"{title}, unseen films, seed {seed}", value * 100, unit="%", aim=aim)


def _withhold(ratings: Path, folder: Path, seed: int) -> list[Path]:
    """Write ratings without a tenth of the films, and apart the last of these."""
    folder.mkdir()
    with ratings.open(newline="") as file:
        header, *rows = csv.reader(file)
    films = sorted({row[1] for row in rows}, key=int)
    withheld = set(random.Random(seed).sample(films, round(WITHHELD * len(films))))
    last: dict[str, list[str]] = {}
    for row in sorted((row for row in rows if row[1] in withheld), key=lambda row: int(row[3])):
        last[row[0]] = row
    contents = {"train": [row for row in rows if row[1] not in withheld], "test": list(last.values())}
    paths = []
    for split, split_rows in contents.items():
        paths.append(folder / f"ratings.{split}.csv")
        with paths[-1].open("w", newline="") as file:
            csv.writer(file).writerows([header, *split_rows])
    return paths


def _import(files: Sequence[Path], into: Path) -> None:
    report = import_dataset(list(files), into, task="content_recommendation", tasks=TASKS)
    if report.state != "ready":
        sys.exit(f"the data was rejected: {report.errors}")


def _train(
    folder: Path, dataset: str, task: str, seed: int, config: Mapping[str, float] = MappingProxyType({})
) -> tuple[dict[str, Any], float]:
    workdir = folder / f"{dataset}-{task}"
    workdir.mkdir()
    choice = {"name": task, "config": dict(config)}
    request = {"kind": "finetune", "dataset": "movielens", "task": choice, "model": "films", "seed": seed}
    spec = TypeAdapter[Spec](Spec).validate_python(request)
    start = time.process_time()
    result = train(spec, folder / dataset, workdir, device="cpu")
    return dict(result.report), time.process_time() - start


def _show(
    films: str, model: str, seed: int, metrics: dict[str, float], rows: int, seconds: float | None = None
) -> None:
    values = [f"{metrics[name]:.2%}" if name in metrics else "" for name in (HIT_RATE, OF_100, OF_100_NEW)]
    cpu = "" if seconds is None else f"{seconds:.0f}"
    print(
        f"{films:<8} {model:<22} {seed:>4} {values[0]:>7} {values[1]:>7} {values[2]:>10} {rows:>5} {cpu:>6}", flush=True
    )


if __name__ == "__main__":
    main()
