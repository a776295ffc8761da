"""Tables of measurements: the default recipe beside linear models and gradient boosting of scikit-learn.

Five datasets are real or standard and come with scikit-learn: iris, wine, breast_cancer, diabetes and friedman1.
`houses` and `customers` are made here: places and skewed incomes, categories, dates, booleans and missing values. All
models learn from the same training rows and are evaluated on the same test rows, a fifth of all. The linear model is
logistic or ridge regression on normalized numbers and one-hot categories.

    python -m benchmarks.tasks.tabular
    python -m benchmarks.tasks.tabular --cases diabetes houses --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
from pydantic import TypeAdapter
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge

from benchmarks.record import figure, parse_args
from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import TrainingResult, train
from ml.metrics import regression
from ml.spec.schema import Spec
from ml.tasks import TASKS

FRACTIONS: Final = {"train": 0.64, "validation": 0.16, "test": 0.2}
METRICS: Final = {"tabular_classification": "accuracy", "tabular_regression": "r2"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with column names; the last column is the target."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]
    task: str


def load_bundled(load: Callable[[], Any], task: str) -> Table:
    """A dataset of scikit-learn."""
    data = load()
    target = [data.target_names[code] for code in data.target] if task == "tabular_classification" else data.target
    names = [*data.feature_names, "target"]
    return Table(names, [[*row, value] for row, value in zip(data.data.tolist(), target, strict=True)], task)


def friedman() -> Table:
    """Friedman 1991: ten uniform numbers, five of which matter."""
    features, target = datasets.make_friedman1(n_samples=1000, noise=1.0, random_state=0)
    rows = [[*row, value] for row, value in zip(features.tolist(), target.tolist(), strict=True)]
    return Table([*(f"x{number}" for number in range(10)), "target"], rows, "tabular_regression")


def houses(count: int = 3000) -> Table:
    """Prices by the place, a skewed income, the age and the kind of a house.

    A tenth of the ages is missing.
    """
    rng = np.random.default_rng(0)
    east, north = rng.uniform(-124, -114, count), rng.uniform(32, 42, count)
    income, age = rng.lognormal(1.2, 0.5, count), rng.integers(1, 53, count)
    kinds = rng.choice(["flat", "house", "villa", "cabin"], count, p=[0.45, 0.4, 0.1, 0.05])
    coast = np.exp(-np.abs(east + 0.8 * north + 88.0) / 2)
    worth = 40 * income**0.7 + 120 * coast + 0.4 * age + 25 * np.select([kinds == "villa", kinds == "cabin"], [2, -1])
    price = worth * rng.lognormal(0, 0.12, count)
    ages = [None if hidden else int(years) for hidden, years in zip(rng.random(count) < 0.1, age, strict=True)]
    columns = zip(east.round(3), north.round(3), income.round(3), ages, kinds, price.round(1), strict=True)
    names = ["longitude", "latitude", "income", "age", "kind", "price"]
    return Table(names, [list(row) for row in columns], "tabular_regression")


def customers(count: int = 3000) -> Table:
    """Ends of contracts by plan, region, usage, calls, bills and date.

    Some of the usage is missing, and the id says nothing.
    """
    rng = np.random.default_rng(1)
    plan, region = rng.choice(["basic", "plus", "max"], count), rng.choice([f"r{code:02}" for code in range(30)], count)
    usage, calls = rng.gamma(2.0, 15.0, count), rng.poisson(1.5, count)
    paper, days = rng.random(count) < 0.4, rng.integers(0, 1500, count)
    effect = dict(zip(sorted(set(region)), rng.normal(0, 0.8, 30), strict=True))
    score = (
        *(np.select([plan == "basic", plan == "max"], [0.8, -0.9]), 0.6 * np.maximum(calls - 2, 0), 0.7 * paper),
        *(-0.02 * np.minimum(usage, 60), 0.001 * days, [effect[name] for name in region], rng.logistic(0, 0.7, count)),
    )
    ended = np.sum(score, axis=0) > 0.8
    usages = [
        None if hidden else round(float(value), 1)
        for hidden, value in zip(rng.random(count) < 0.08, usage, strict=True)
    ]
    begins = [(date(2022, 1, 1) + timedelta(days=int(day))).isoformat() for day in days]
    outcome = np.where(ended, "ended", "stayed")
    columns = zip(range(count), plan, region, usages, calls, paper, begins, outcome, strict=True)
    names = ["customer_id", "plan", "region", "usage", "calls", "paper_bill", "began", "outcome"]
    return Table(names, [list(row) for row in columns], "tabular_classification")


CASES: Final[Mapping[str, Callable[[], Table]]] = {
    "iris": lambda: load_bundled(datasets.load_iris, "tabular_classification"),
    "wine": lambda: load_bundled(datasets.load_wine, "tabular_classification"),
    "breast_cancer": lambda: load_bundled(datasets.load_breast_cancer, "tabular_classification"),
    "customers": customers,
    "diabetes": lambda: load_bundled(datasets.load_diabetes, "tabular_regression"),
    "friedman1": friedman,
    "houses": houses,
}


def run(table: Table, folder: Path, seed: int, options: Mapping[str, Any]) -> dict[str, float]:
    """Return the test metric of each model on one split.

    `seconds` is the CPU time of the network, from spec to package.
    """
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([table.names, *table.rows])
    target = "value" if table.task == "tabular_regression" else "label"
    columns = {target: table.names[-1]}
    splits = {**FRACTIONS, "seed": seed}
    report = import_dataset([path], folder / "dataset", task=table.task, columns=columns, splits=splits, tasks=TASKS)
    if report.state != "ready":
        sys.exit(f"the table was rejected: {report.errors}")
    spec = TypeAdapter[Spec](Spec).validate_python(
        {"kind": "finetune", "dataset": "table", "model": "table", "task": table.task, "seed": seed, **options}
    )
    (folder / "run").mkdir()
    began = time.process_time()
    result = train(spec, folder / "dataset", folder / "run", device="cpu")
    seconds = time.process_time() - began
    metric = METRICS[table.task]
    reference: Any = result.report
    return {
        "network": result.metrics[f"test/{metric}"],
        "linear": linear(Dataset.open(folder / "dataset"), result),
        "boosting": reference["reference"]["metrics"][metric],
        "trivial": result.report["baseline"][metric],
        "seconds": seconds,
    }


def linear(dataset: Dataset, result: TrainingResult) -> float:
    """Fit a linear model to the training rows; return its test metric."""
    task: Any = result.package.task()
    train_columns, test_columns = (task.encode(dataset.rows(split)) for split in ("train", "test"))
    features = [_one_hot(task, columns) for columns in (train_columns, test_columns)]
    if "label" in train_columns:
        model = LogisticRegression(max_iter=2000).fit(features[0], train_columns["label"])
        return float((model.predict(features[1]) == test_columns["label"]).mean())
    ridge = Ridge().fit(features[0], train_columns["value"])
    return regression.measure(ridge.predict(features[1]), test_columns["value"])["r2"]


def _one_hot(task: Any, columns: Mapping[str, Any]) -> np.ndarray:
    table = task.to_table(columns)
    sizes = [2 + len(column.names) for column in task.record_encoder.config.categories]
    categories = [np.eye(size)[codes] for size, codes in zip(sizes, table.codes.T, strict=True)]
    missing = np.isnan(table.numbers)
    return np.concatenate([np.nan_to_num(table.numbers), missing, *categories], axis=1)


def main() -> None:
    """Print a table: accuracy of classifications, R2 of regressions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=NUMBER", help="fields of the schedule")
    arguments = parse_args(parser)
    schedule = {name: float(value) for name, value in (item.split("=") for item in arguments.set)}
    print(f"{'data':<14} {'metric':<9} {'trivial':>8} {'linear':>8} {'boosting':>8} {'network':>8} {'CPU s':>6}")
    for name in arguments.cases:
        table = CASES[name]()
        results = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                results.append(run(table, Path(folder), seed, {"schedule": schedule} if schedule else {}))
        metric = METRICS[table.task]
        for model in ("network", "linear", "boosting"):
            figure(f"{name}, {model}: test {metric}", [result[model] for result in results], unit="")
        means = {model: mean(result[model] for result in results) for model in results[0]}
        cells = " ".join(f"{means[model]:>8.3f}" for model in ("trivial", "linear", "boosting", "network"))
        print(f"{name:<14} {metric:<9} {cells} {means['seconds']:>6.1f}", flush=True)


if __name__ == "__main__":
    main()
