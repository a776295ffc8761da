"""Arms of one network, with the same steps and learning-rate search for each.

Mean and range over seeds, which choose the labeled rows, the weights and the order. Only the model
that validation chose answers the test rows.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from pydantic import TypeAdapter

from benchmarks.record import figure
from ml.data.importing.importer import import_dataset
from ml.inference.predictor import Predictor
from ml.learning.pipeline.train import TrainingResult, train
from ml.spec.schema import Spec
from ml.tasks import TASKS

LEARNING_RATES = (0.001, 0.003, 0.01)
TEACHER = "objective.config.teacher"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train a model with few labels."""

    architecture: str
    #: What the base model is trained by; absent: there is none, and all weights are random.
    objective: str | None = None
    #: Architecture of the base model, if it differs from the study's.
    schedule: Mapping[str, Any] = field(default_factory=dict)
    #: Slot -> architecture of a base model that has several.
    towers: Mapping[str, str] = field(default_factory=dict)
    #: Options of the task in fine-tuning.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: The base is a model of the same task that had all labels, and it teaches instead of being started from.
    taught: bool = False
    #: The arm that this one is compared with.
    beside: str = "scratch"


@dataclass(frozen=True, slots=True)
class Study:
    """Sizes and budgets of a study."""

    labels: Sequence[int]
    #: Epochs of pretraining.
    epochs: int
    #: Epochs of fine-tuning.
    steps: int
    seeds: Sequence[int] = (0, 1, 2)


class Modality(ABC):
    """Data of one kind, with labels and without."""

    arms: ClassVar[Mapping[str, Arm]]
    task: ClassVar[str]
    #: What of an answer must equal what was wanted.
    answer: ClassVar[str]
    batch_rows: ClassVar[int]
    usual: ClassVar[Study]

    #: Cache of the datasets that were made.
    folder: Path

    @abstractmethod
    def __init__(self, data: Path, folder: Path) -> None:
        """Make a study from the files in `data`; datasets are written into `folder`."""

    @abstractmethod
    def unlabeled_dataset(self, seed: int, /) -> Path:
        """A dataset to pretrain on."""

    @abstractmethod
    def teacher_dataset(self, seed: int, /) -> Path:
        """The same with labels, for a teacher."""

    @abstractmethod
    def labeled_dataset(self, seed: int, count: int) -> Path:
        """A dataset of `count` training rows, and validation rows."""

    @abstractmethod
    def rows(self, split: str, seed: int, /) -> tuple[list[dict[str, Any]], list[str]]:
        """Inputs, and the answers wanted; of validation, those that `labeled_dataset` holds."""

    def _import_once(self, name: str, write: Callable[[Path], Sequence[Path]], **options: Any) -> Path:
        """Import the files that `write` makes as a dataset, once; exits if they are rejected."""
        folder = self.folder / name
        if not (folder / "dataset").exists():
            folder.mkdir(parents=True)
            report = import_dataset(write(folder), folder / "dataset", **options, tasks=TASKS)
            if report.state != "ready":
                sys.exit(f"the rows were rejected: {report.errors}")
        return folder / "dataset"


@dataclass(frozen=True, slots=True)
class BestRun:
    """Best run of one arm and seed by validation; `right` is a test fraction."""

    right: float
    learning_rate: float


def compare(modality: Modality, names: Sequence[str], study: Study, folder: Path) -> None:
    """Print a table."""
    result: dict[tuple[int, str], list[BestRun]] = {}
    bases: dict[tuple[Any, ...], Path] = {}
    for seed in study.seeds:
        for name in names:
            _base(modality, modality.arms[name], study, seed, folder, bases)
        for count in study.labels:
            dataset = modality.labeled_dataset(seed, count)
            for name in names:
                base = _base(modality, modality.arms[name], study, seed, folder, bases)
                where = folder / f"{name}-{count}-{seed}"
                judged = _fine_tuned(modality, modality.arms[name], dataset, base, study, (count, seed), where)
                result.setdefault((count, name), []).append(judged)
                message = f"  seed {seed}, {count} labels, {name}: {judged.right:.2%} at {judged.learning_rate}"
                print(message, file=sys.stderr, flush=True)
    print(f"\n{modality.task}, fraction of test rows predicted correctly, {len(study.seeds)} seeds")
    print(f"{'labels':>6}  {'arm':<32} {'test':>7}  {'range':<18} {'gain':>12}")
    for (count, name), runs in result.items():
        scores = [run.right for run in runs]
        beside = modality.arms[name].beside
        baseline = result.get((count, beside)) if beside != name else None
        gain = f"{(mean(scores) - mean(item.right for item in baseline)) * 100:+.1f} points" if baseline else ""
        figure(f"{modality.task}, {count} labels, {name}: test accuracy", [score * 100 for score in scores], unit="%")
        print(f"{count:>6}  {name:<32} {mean(scores):>7.2%}  {min(scores):.2%} to {max(scores):.2%}  {gain:>12}")


def _base(
    modality: Modality, arm: Arm, study: Study, seed: int, folder: Path, made: dict[tuple[Any, ...], Path]
) -> Path | None:
    """Return the base model or teacher of an arm, made once for all arms."""
    if arm.objective is None:
        return None
    dataset = modality.teacher_dataset(seed) if arm.taught else modality.unlabeled_dataset(seed)
    key = (dataset, arm.architecture, arm.objective, *arm.schedule.items())
    if key not in made:
        began = time.process_time()
        schedule = {"epochs": study.epochs, **arm.schedule}
        kind: dict[str, Any] = {"kind": "finetune", "task": modality.task} if arm.taught else {"kind": "pretrain"}
        where = folder / f"base-{len(made)}"
        network = {"architectures": arm.towers} if arm.towers else {"architecture": arm.architecture}
        request = {**kind, **network, "objective": arm.objective, "schedule": schedule}
        result = _run(dataset, where, seed=seed, **request)
        made[key] = result.package.directory
        scores = [f"{name} {value:.3f}" for name, value in result.metrics.items() if name.startswith("validation/")]
        whose = " and ".join(arm.towers.values()) or arm.architecture
        message = f"{arm.objective} of {whose}, {schedule['epochs']} epochs: {', '.join(scores)}"
        print(f"{message}; {time.process_time() - began:.0f} CPU s", flush=True)
    return made[key]


def _fine_tuned(
    modality: Modality,
    arm: Arm,
    dataset: Path,
    base: Path | None,
    study: Study,
    row: tuple[int, int],
    folder: Path,
) -> BestRun:
    """Every learning rate; the one with the best validation score is judged."""
    count, seed = row
    starts = base is not None and not arm.taught
    origin: dict[str, Any] = {} if starts else {"architecture": arm.architecture}
    if arm.taught:
        origin["objective"] = {"name": "distillation", "config": {"teacher": "base"}}
    # As many steps for every count, in batches that are as large.
    epochs = max(1, study.steps * modality.batch_rows // count)
    runs: list[tuple[float, float, Predictor]] = []
    for rate in LEARNING_RATES:
        result = _run(
            dataset,
            folder / f"{rate}",
            start_from=base if starts else None,
            models={TEACHER: base} if base is not None and arm.taught else None,
            kind="finetune",
            task={"name": modality.task, "config": dict(arm.options)},
            schedule={"epochs": epochs, "batch_size": modality.batch_rows, "learning_rate": rate},
            seed=seed,
            **origin,
        )
        made = Predictor.load(result.package)
        runs.append((_right(modality, made, "validation", seed), rate, made))
    _, rate, best = max(runs, key=lambda run: run[:2])
    return BestRun(_right(modality, best, "test", seed), rate)


def _right(modality: Modality, predictor: Predictor, split: str, seed: int) -> float:
    """Return the fraction of a split that is predicted correctly."""
    inputs, expected = modality.rows(split, seed)
    answers = predictor.predict(inputs)
    right = [bool(answer[modality.answer] == item) for answer, item in zip(answers, expected, strict=True)]
    return mean(right)


def _run(
    dataset: Path,
    folder: Path,
    *,
    start_from: Path | None = None,
    models: Mapping[str, Path] | None = None,
    **options: Any,
) -> TrainingResult:
    """One run of the product's own `train`."""
    folder.mkdir(parents=True)
    if start_from:
        options["start_from"] = "base"
    spec = TypeAdapter[Spec](Spec).validate_python({"dataset": "rows", "model": "judged", **options})
    return train(spec, dataset, folder, start_from=start_from, models=models, device="cpu")
