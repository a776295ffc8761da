"""From a spec and a dataset to a package: the one thing a worker calls."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ml.config import Choice
from ml.data.dataset import Dataset
from ml.errors import SpecError, TrainingDiverged, TrainingInterrupted
from ml.learning.export.packaging import PARITY_ROWS, as_requests, pack
from ml.learning.export.torch_runner import network_of, running
from ml.learning.nn import device as devices
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.pipeline.base_models import BaseModels
from ml.learning.pipeline.plan import TrainingPlan, make_plan
from ml.learning.pipeline.transfer import take_over
from ml.learning.training.batches import SequentialBatches, ShuffledBatches, to_arrays
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.optimizers import require_resolved
from ml.learning.training.progress import Progress, Stop
from ml.learning.training.run_folder import RunFolder
from ml.learning.training.trainer import Trainer, TrainerResult
from ml.learning.training.tuning import TUNINGS
from ml.metrics.base import find_weaknesses
from ml.package import version_1
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST, Provenance
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune, Spec, references, split_references

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Parameter

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.learning.nn.network import Network
    from ml.learning.training.optimizers import ParameterGroupOptions
    from ml.tasks.base import Task

HELD_OUT = 0.1
"""Share of the training rows that validates where the dataset has no validation split."""
JUDGED_AT_ONCE = 500
JUDGED_FOR_ONE_TRAINED = 8
"""Rows judged at once for each of a training batch, up to the above: who trains on few at a time has large rows."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run leaves. `reason` is completed, early_stopped or stopped."""

    package: ModelPackage
    report: dict[str, Any] | None
    metrics: dict[str, float]
    reason: str


def train(
    spec: Spec,
    dataset: Path,
    workdir: Path,
    *,
    start_from: Path | Mapping[str, Path] | None = None,
    models: Mapping[str, Path] | None = None,
    device: str = "auto",
    threads: int | None = None,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], Stop | None],
) -> TrainingResult:
    """Train, evaluate, export and package, going on from the checkpoint in `workdir` if there is one.

    `start_from` is a package, or by slot the package whose backbone it takes.
    `models` are the packages of those that options name, by the path of the option (`ml.spec.schema.references`).
    Raises `SpecError`, `DataError`, `PackageError`, `TrainingDiverged`, or `TrainingInterrupted` when asked to leave.
    """
    where = devices.choose(device).torch
    torch.set_num_threads(threads or devices.default_threads())
    return _Run(spec, dataset, workdir, start_from, models or {}, where, on_progress, should_stop).result()


class _Run:
    def __init__(
        self,
        spec: Spec,
        dataset: Path,
        workdir: Path,
        start_from: Path | Mapping[str, Path] | None,
        models: Mapping[str, Path],
        device: torch.device,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], Stop | None],
    ) -> None:
        self.workdir = workdir
        self.device = device
        self.should_stop = should_stop
        self._on_progress = on_progress
        self._last = Progress(epoch=0, epochs=0, step=0, steps=0)
        self._tell("preparing")
        self.data = Dataset.open(dataset)
        self.bases = BaseModels.open(start_from)
        self.models = {path: ModelPackage.open(package) for path, package in models.items()}
        self.spec = _resolved(spec, self.data.summary, self.bases, self.models)
        rows, held_out = self._split()
        self.lesson: TrainingPlan = make_plan(self.spec, self.data.summary, rows, self.bases, self.models.values())
        _read_alike(self.bases, self.models)
        self.pop_losses: dict[str, dict[str, dict[str, int]]] = {}
        self.few_rows: str | None = None
        self.train_columns = self._encoded("train", rows)
        self.held_out = held_out

    def result(self) -> TrainingResult:
        torch.manual_seed(self.spec.seed)
        network = self.lesson.network()
        labels = getattr(self.lesson.task, "labels", None)
        transfer = take_over(network, self.bases, labels=labels) if self.bases else None
        tuning_choice = self.spec.tuning if isinstance(self.spec, Finetune) else Choice(name="full")
        tuning_type = TUNINGS[tuning_choice.name]
        tuning = tuning_type(tuning_type.config_type.model_validate(tuning_choice.config))
        tuning.apply(network)
        learned = [name for name, each in network.named_parameters() if each.requires_grad]
        trained = self._train(network, tuning.parameter_groups(network))
        tensors = dict(network.named_parameters())
        adapter = {name: tensors[name].detach().clone() for name in learned} if len(learned) < len(tensors) else {}
        tuning.merge(network)
        self.lesson = self.lesson.strip_training_only(network)
        if not all(each.isfinite().all() for each in network.state_dict().values()):
            raise TrainingDiverged("a weight is no longer a number", hint="Lower the learning rate or clip gradients.")

        network.eval()
        task = self.lesson.task if isinstance(self.spec, Finetune) else None
        report = self._evaluate(network, task) if task else self._recount(trained)
        report["transfer"] = transfer.to_json() if transfer else None
        report["training"] = {"reason": trained.reason, "epochs": trained.epochs, "steps": trained.steps}
        report["training"]["best_epoch"] = trained.best_epoch
        report["training"]["small_data_adjustments"] = self.few_rows
        report["training"]["trained_parameters"] = sum(tensors[name].numel() for name in learned)
        report["truncation"] = self.pop_losses
        metrics = {**trained.metrics, **{f"{report['split']}/{name}": each for name, each in report["metrics"].items()}}
        architectures = {slot: tuning.merge_choice(choice) for slot, choice in self.lesson.architectures.items()}
        package = self._package(network, task, metrics, architectures, adapter)
        return TrainingResult(package, report, metrics, trained.reason)

    def _split(self) -> tuple[Rows, Rows]:
        """Rows to learn from and rows to validate on."""
        rows, held_out = self.data.rows("train"), self.data.rows("validation")
        if len(held_out) or len(rows) < 2:
            return rows, held_out
        order = np.random.default_rng([self.spec.seed, len(rows)]).permutation(len(rows))
        count = max(1, round(HELD_OUT * len(rows)))
        return rows.take(np.sort(order[count:])), rows.take(np.sort(order[:count]))

    def _encoded(self, split: str, rows: Rows) -> dict[str, Column]:
        """Compact arrays; what encoders could not keep of these rows goes into the report: split, encoder, how many."""
        for encoder in self.lesson.encoders.values():
            encoder.pop_losses()
        columns = self.lesson.reader.encode(rows)
        lost = {name: encoder.pop_losses() for name, encoder in self.lesson.encoders.items()}
        self.pop_losses[split] = {name: each for name, each in lost.items() if each}
        return columns

    def _train(self, network: Network, group_options: Mapping[Parameter, ParameterGroupOptions]) -> TrainerResult:
        lesson, schedule = self.lesson, self.spec.schedule
        kind = OBJECTIVES[lesson.objective.name]
        objective = kind(kind.config_type.model_validate(lesson.objective.config), network).to(self.device)
        consulted = {path: network_of(package).to(self.device) for path, package in self.models.items()}
        objective.set_models({path.rpartition(".")[2]: each for path, each in consulted.items()})
        rows = len(next(iter(self.train_columns.values())))
        train = ShuffledBatches(
            self.train_columns,
            collate=lesson.reader.collate,
            augment=lesson.reader.augment,
            batch_size=schedule.batch_rows(rows),
            seed=self.spec.seed,
            device=self.device,
        )
        trainer = Trainer(
            objective,
            train,
            self._in_order(self._encoded("validation", self.held_out)) if len(self.held_out) else None,
            schedule,
            device=self.device,
            checkpoints=Checkpoints(self.workdir),
            fingerprint=self._fingerprint(self.spec.model_dump_json()),
            earlier_fingerprints=[self._fingerprint(version_1.spec_json(self.spec.model_dump_json()))],
            on_progress=self._pass_on,
            should_stop=self.should_stop,
            group_options=group_options,
        )
        usual = require_resolved(schedule.epochs), min(require_resolved(schedule.batch_size), rows)
        if (trainer.epochs, train.batch_size) != usual:
            made = f"{trainer.epochs} epochs in batches of {train.batch_size}"
            self.few_rows = f"{rows} rows are few: {made}, not the usual {usual[0]} in batches of {schedule.batch_size}"
            self._tell("preparing", self.few_rows)
        return trainer.fit()

    def _recount(self, trained: TrainerResult) -> dict[str, Any]:
        """A base model has no task to be judged by; its objective has judged it after every epoch."""
        split = "validation"
        metrics = {
            name.partition("/")[2]: each for name, each in trained.metrics.items() if name.startswith(f"{split}/")
        }
        facts = {"task": None, "objective": self.lesson.objective.name, "split": split, "rows": len(self.held_out)}
        return {**facts, "metrics": metrics}

    def _evaluate(self, network: Network, task: Task) -> dict[str, Any]:
        """Judge on the test split, or where there is none on the rows held out."""
        self._tell("evaluating")
        test = self.data.rows("test")
        split, rows = ("test", test) if len(test) else ("validation", self.held_out)
        columns = self._encoded(split, rows)
        found = task.evaluate(self._collected(network, task, columns), columns, train=self.train_columns)
        warnings = find_weaknesses(found, task.metrics, rows_name=f"{len(rows)} rows of {split}")
        for warning in warnings:
            self._tell("evaluating", warning)
        facts = {"task": task.name, "split": split, "rows": len(rows), "metrics": found.metrics, "warnings": warnings}
        return {**facts, "baseline": found.baseline, "intervals": found.intervals, **found.extra}

    def _collected(self, network: Network, task: Task, columns: dict[str, Column]) -> dict[str, Column]:
        """In float32, as the model will be served."""
        found: dict[str, list[np.ndarray]] = {}
        run = running(network, task.graphs, device=self.device)
        with torch.no_grad():
            for batch, _ in self._in_order(columns).epoch():
                arrays = to_arrays(batch)
                answer = partial(task.answer, run, arrays)
                for name, each in task.collect(to_arrays(network(batch)), arrays, answer).items():
                    found.setdefault(name, []).append(each)
                if self.should_stop() is Stop.LEAVE:
                    raise TrainingInterrupted("left while evaluating; the last checkpoint holds everything")
        return {name: _joined(pieces) for name, pieces in found.items()}

    def _package(
        self,
        network: Network,
        task: Task | None,
        metrics: dict[str, float],
        architectures: Mapping[str, Choice],
        adapter: Mapping[str, Tensor],
    ) -> ModelPackage:
        self._tell("exporting")
        lesson = self.lesson
        return pack(
            network if task or lesson.task is None else network.without_head(),
            RunFolder(self.workdir).package,
            architectures=architectures,
            encoders=lesson.encoders,
            task=task,
            head=lesson.head,
            reader=lesson.reader,
            rows=self._questions(task),
            objective=lesson.objective,
            metrics=metrics,
            adapter=adapter,
            frozen=self.bases.hold(network),
            source=Provenance(
                spec=self.spec.model_dump(mode="json"),
                dataset_digest=self.data.summary.digest,
                parent=self.bases.digests,
                models=self._models_digests(),
            ),
        )

    def _questions(self, task: Task | None) -> Rows:
        """What the graphs are asked: rows that were not trained on, where there are such that a request may hold."""
        held_out = self.held_out
        if len(held_out) and (task is None or as_requests(task, held_out[:PARITY_ROWS])):
            return held_out
        return self.data.rows("train")

    def _in_order(self, columns: dict[str, Column]) -> SequentialBatches:
        at_once = min(JUDGED_AT_ONCE, JUDGED_FOR_ONE_TRAINED * require_resolved(self.spec.schedule.batch_size))
        return SequentialBatches(columns, collate=self.lesson.reader.collate, batch_size=at_once, device=self.device)

    def _fingerprint(self, spec: str) -> str:
        """SHA-256 of the spec's JSON, the data and the models that the run learns from."""
        parent = self.bases.digests or ""
        models = " ".join(f"{path} {each}" for path, each in sorted(self._models_digests().items()))
        facts = f"{spec} {self.data.summary.digest} {parent} {models}"
        return hashlib.sha256(facts.encode()).hexdigest()

    def _models_digests(self) -> dict[str, str]:
        return {path: digest(package.directory / MANIFEST) for path, package in self.models.items()}

    def _pass_on(self, progress: Progress) -> None:
        self._last = progress
        self._on_progress(progress)

    def _tell(self, phase: str, message: str | None = None) -> None:
        where = {name: getattr(self._last, name) for name in ("epoch", "epochs", "step", "steps")}
        self._pass_on(Progress(**where, phase=phase, message=message))


def _joined(pieces: list[np.ndarray]) -> Column:
    """One array, or a list of rows where batches differ in length."""
    if len({piece.shape[1:] for piece in pieces}) == 1:
        return np.concatenate(pieces)
    return [row for piece in pieces for row in piece]


def _resolved(spec: Spec, summary: DatasetSummary, bases: BaseModels, models: Mapping[str, ModelPackage]) -> Spec:
    catalog = Catalog.load()
    parent = bases.manifests
    if findings := check(spec, catalog, summary, parent, {path: each.manifest for path, each in models.items()}):
        raise SpecError.of(findings)
    absent = split_references(references(spec, catalog))[1].keys() - models.keys()
    if absent:
        raise SpecError(f"the package of {', '.join(sorted(absent))} was not given")
    # Told apart for the type checker alone.
    if isinstance(spec, Finetune):
        return resolve(spec, catalog, summary, parent)
    return resolve(spec, catalog, summary, parent)


def _read_alike(bases: BaseModels, models: Mapping[str, ModelPackage]) -> None:
    """Who learns from a model reads as it does: what a base model brings must be the same, byte for byte."""
    theirs = bases.encoder_files()
    for path, package in models.items():
        for file in package.manifest.files:
            if theirs.get(file.path, file.sha256) != file.sha256:
                message = f"start_from reads with another {file.path} than {path} does"
                hint = "Start from scratch, or from a model that reads with the same encoder."
                raise SpecError(message, hint=hint)
