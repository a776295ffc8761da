"""Models of one part and of several, trained on the same rows."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter

from benchmarks.record import figure
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.schema import Spec
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Model:
    """A task and its options."""

    task: str
    config: Mapping[str, Any]


class Comparison:
    """Trains models by name, and prints and records their accuracies."""

    def __init__(self, folder: Path, models: Mapping[str, Model], schedule: Mapping[str, Any]) -> None:
        """Take models and their schedule; an empty one is the recipe."""
        torch.set_num_threads(1)
        self._folder = folder
        self._models = models
        self._schedule = schedule
        self._accuracies: dict[str, float] = {}
        print(f"{'model':<14} {'accuracy':>8}  {'by part':<28} {'CPU s':>6}")

    def run(self, archive: Path, labels: Sequence[str]) -> None:
        """Train models on an archive; those of one part read one column of it."""
        dataset = self._folder / archive.stem
        report = import_dataset([archive], dataset, task="multimodal_classification", tasks=dict(TASKS))
        if report.state != "ready":
            sys.exit(f"the rows were rejected: {report.errors}")
        for label in labels:
            self._train(dataset, label)

    def judge(self, labels: Sequence[str], *, singles: Sequence[str], aim: float) -> None:
        """Compare models of several parts with the better of those of one part."""
        if not set(singles) <= set(self._accuracies):
            return
        best = max(self._accuracies[label] for label in singles)
        for label in labels:
            if label in self._accuracies:
                points = 100 * (self._accuracies[label] - best)
                print(f"{label}: {points:+.1f} points above the better single part")
                figure(f"{label}: above the better single part", points, unit="points", aim=f">= {aim:g}")

    def _train(self, dataset: Path, label: str) -> None:
        model = self._models[label]
        fields = {"kind": "finetune", "dataset": "rows", "model": "model"}
        choice = {"task": {"name": model.task, "config": dict(model.config)}, "schedule": dict(self._schedule)}
        spec = TypeAdapter[Spec](Spec).validate_python(fields | choice)
        began = time.process_time()
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            report: Any = train(spec, dataset, Path(work), device="cpu", threads=1).report
        seconds = time.process_time() - began
        self._accuracies[label] = accuracy = report["metrics"]["accuracy"]
        parts = [f"{part} {figures['accuracy']:.3f}" for part, figures in report.get("parts", {}).items()]
        print(f"{label:<14} {accuracy:>8.3f}  {', '.join(parts):<28} {seconds:>6.0f}", flush=True)
        interval = tuple(100 * limit for limit in report["intervals"]["accuracy"])
        note = f"{seconds:.0f} CPU s"
        figure(f"{label}: accuracy", 100 * accuracy, unit="%", interval=(interval[0], interval[1]), note=note)
