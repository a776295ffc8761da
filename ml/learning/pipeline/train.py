"""Pretraining and fine-tuning of a package from a spec and a dataset, for workers."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

import numpy as np
import torch
from pydantic import TypeAdapter

from ml.data.dataset import SPLITS, Dataset
from ml.encoders.base import take
from ml.errors import SpecError, TrainingDiverged, TrainingInterrupted
from ml.inference.latency import measure_latency
from ml.inference.predictor import Predictor
from ml.learning.export.packaging import PARITY_ROWS, pack, to_requests
from ml.learning.export.torch_runner import load_network, make_runner
from ml.learning.nn import device as devices
from ml.learning.nn.frozen_features import POOLED, HeadOnFeatures
from ml.learning.nn.heads.classifier import Classifier
from ml.learning.nn.network import Network
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.nn.operations import count_operations
from ml.learning.nn.units import separate_units
from ml.learning.pipeline.base_models import BaseModels
from ml.learning.pipeline.crossing import describe_crossing, describe_crossings, train_stems
from ml.learning.pipeline.encoded_rows import RowEncoder
from ml.learning.pipeline.exits import ExitNetwork, SizeOutputs, choose_threshold, make_exits, simulate
from ml.learning.pipeline.plan import TrainingPlan, make_plan
from ml.learning.pipeline.ranks import LaterRank, Rank, RankRequest, TrainingOptions, start_ranks
from ml.learning.pipeline.reproduction import current_environment
from ml.learning.pipeline.robustness import measure_robustness
from ml.learning.pipeline.sizes import describe_size, make_slices, measure_sizes
from ml.learning.pipeline.transfer import describe_labels, transfer_weights
from ml.learning.training.adversarial import adversarial_objective
from ml.learning.training.attacks import ATTACKS
from ml.learning.training.batches import Division, SequentialBatches, ShuffledBatches, to_arrays
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.nested import NestedObjective
from ml.learning.training.optimizers import require_resolved
from ml.learning.training.progress import Progress, Stop
from ml.learning.training.run_folder import RunFolder
from ml.learning.training.trainer import Trainer, TrainerResult
from ml.learning.training.tuning import TUNINGS
from ml.learning.training.tuning.head_only import HeadOnly
from ml.metrics.base import find_weaknesses
from ml.package import version_1
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST, Provenance
from ml.package.package import SIZES, ModelPackage
from ml.package.training_trace import TracedStep, TrainingTrace
from ml.signals import Feature
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune, Spec, references, split_references
from ml.tasks.base import BatchAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.nn import Parameter

    from ml.config import Choice
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.learning.nn.heads.base import Head
    from ml.learning.pipeline.report import (
        EvaluationReport,
        ExitsSection,
        SizeSection,
        TrainingReport,
        TrainingSection,
        TransferSection,
    )
    from ml.learning.pipeline.robustness import AttackReport
    from ml.learning.training.nested import NarrowNetwork
    from ml.learning.training.optimizers import ParameterGroupOptions
    from ml.learning.training.tuning.base import Tuning
    from ml.tasks.base import Task

#: Fraction of the training rows that validates if the dataset has no validation split.
HELD_OUT_FRACTION: Final = 0.1
MAX_EVALUATION_BATCH_ROWS: Final = 500
#: Note of a model whose exits would save nothing.
NO_EXITS: Final = (
    "the model has no exits: on validation rows, none saved operations at an accuracy within 0.3 points of the whole "
    "network"
)
#: Rows of an evaluation batch for each of a training batch, up to the above: small training batches mean large rows.
EVALUATION_ROWS_PER_TRAINING_ROW: Final = 8


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Outcome of a run; `reason` is completed, early_stopped or stopped."""

    package: ModelPackage
    report: TrainingReport
    metrics: dict[str, float]
    reason: str


def train(spec: Spec, dataset: Path, workdir: Path, **options: Unpack[TrainingOptions]) -> TrainingResult:
    """Train, evaluate, export and package a model, from the last checkpoint if there is one.

    Args:
        spec: What to train.
        dataset: Folder of the dataset.
        workdir: Folder of the run (see `RunFolder`), with its checkpoints.
        options: Base models, device and callbacks.

    Raises:
        SpecError: The spec does not fit the data or its base models.
        DataError: The dataset cannot be used.
        PackageError: A package is damaged.
        TrainingDiverged: A loss or a weight is not finite.
        TrainingInterrupted: `should_stop` returned `Stop.LEAVE`.
    """
    with start_ranks(spec, dataset, workdir, options) as rank:
        return _Run(spec, dataset, workdir, options, rank).result()


def train_trial(
    spec: Spec, dataset: Path, workdir: Path, *, max_rows: int | None = None, **options: Unpack[TrainingOptions]
) -> TrainingReport:
    """Train as `train` does, without a test and without a package.

    Returns the report on validation rows. The last checkpoint is complete: `train` continues from it with the test and
    the package, as if it had trained. With `max_rows`, no more rows are trained on; then nothing can continue from it.
    """
    with start_ranks(spec, dataset, workdir, options, max_rows=max_rows) as rank:
        return _Run(spec, dataset, workdir, options, rank, max_rows=max_rows).trial_report()


def train_as_rank(request: RankRequest, *, ready: int) -> None:
    """Do the steps of a training with the process that has made the request.

    `ready` is the descriptor of the pipe that tells it that this one is prepared.
    """
    spec: Spec = TypeAdapter[Spec](Spec).validate_python(request.spec)
    rank = LaterRank(request, ready=ready)
    dataset, workdir = Path(request.dataset), Path(request.workdir)
    _Run(spec, dataset, workdir, request.options(), rank, max_rows=request.max_rows).fit()


@dataclass(frozen=True, slots=True)
class _FrozenTraining:
    """Head, features and random state with which trainings on frozen backbones begin."""

    head: Head
    slots: list[str]
    #: Columns of the training rows, and pooled features by slot.
    columns: dict[str, Column]
    #: Random state before the first step.
    rng_state: Tensor

    def new_head(self) -> HeadOnFeatures:
        """Return the head before its training, and set the random state."""
        torch.set_rng_state(self.rng_state)
        return HeadOnFeatures(copy.deepcopy(self.head), self.slots)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A trained network, before its tuning is merged."""

    network: Network
    tuning: Tuning
    outcome: TrainerResult
    transfer: TransferSection | None
    trained_names: list[str]
    #: Narrower networks that were trained with it.
    slices: list[NarrowNetwork]


@dataclass(frozen=True, slots=True)
class _Exits:
    """A network with early exits, and the sizes at which rows leave, the smallest first."""

    network: ExitNetwork
    sizes: list[SizeOutputs]


#: Outputs of a network for rows that it was not trained on, and the columns of these rows.
_FoldOutputs = tuple["dict[str, Column]", "dict[str, Column]"]


class _Run:
    def __init__(
        self,
        spec: Spec,
        dataset: Path,
        workdir: Path,
        options: TrainingOptions,
        rank: Rank,
        *,
        max_rows: int | None = None,
    ) -> None:
        self.rank = rank
        self.workdir = workdir
        self.folder = RunFolder(workdir)
        self.device = devices.choose(options.get("device", "auto")).torch
        if threads := options.get("threads"):
            torch.set_num_threads(threads)
        self.ranks = 1
        self.should_stop: Callable[[], Stop | None] = options.get("should_stop", lambda: None)
        self._on_progress: Callable[[Progress], None] = options.get("on_progress", lambda _: None)
        self._last = Progress(epoch=0, epochs=0, step=0, steps=0)
        self._report_phase("preparing")
        self.data = Dataset.open(dataset)
        self.bases = BaseModels.open(options.get("start_from"))
        self.models = {path: ModelPackage.open(package) for path, package in (options.get("models") or {}).items()}
        self.spec = _check_and_resolve(spec, self.data.summary, self.bases, self.models)
        rows, held_out = self._split()
        if max_rows is not None and len(rows) > max_rows:
            rows = rows.take(np.linspace(0, len(rows) - 1, max_rows).astype(int))
        self.plan: TrainingPlan = make_plan(self.spec, self.data.summary, rows, self.bases, self.models.values())
        if self.spec.sizes is not None:
            separate = {slot: separate_units(choice) for slot, choice in self.plan.architectures.items()}
            self.plan = replace(self.plan, architectures=separate)
        _check_encoders_agree(self.bases, self.models)
        self.truncation: dict[str, dict[str, dict[str, int]]] = {}
        self.small_data_adjustments: str | None = None
        # A checkpoint that is packed or measured reads the same rows, so that the number of rows is part of the name.
        self._selection = f"seed {self.spec.seed}, validation {len(held_out)}"
        folder = options.get("cache") or self.folder.encoded_rows
        self._row_encoder = RowEncoder.create(self.plan.reader, folder, dataset=self.data)
        self.train_columns = self._encode("train", rows)
        if self.plan.task is not None:
            self.plan.task.check_encoded(self.train_columns)
        self.held_out = held_out

    def result(self) -> TrainingResult:
        fitted = self.fit()
        network, tuning, outcome = fitted.network, fitted.tuning, fitted.outcome
        tensors = dict(network.named_parameters())
        training = self._training_section(fitted)
        is_partial = len(fitted.trained_names) < len(tensors)
        adapter = {name: tensors[name].detach().clone() for name in fitted.trained_names} if is_partial else {}
        tuning.merge(network)
        self.plan = self.plan.strip_training_only(network)
        _require_finite(network)

        network.eval()
        task = self.plan.task if self.spec.packages_task else None
        if task is not None:
            task.store_rows({split: self.data.rows(split) for split in SPLITS})
        # First: the task is calibrated for each size, and at last for the whole network.
        sizes = [self._finish_size(part, network, task) for part in fitted.slices] if task else []
        self._calibrate(network, task, folds=self._predict_folds(network, task, outcome) if task else ())
        exits = self._make_exits(fitted, sizes, task) if task and self.spec.exits else None
        served = exits.network if exits else network
        report: TrainingReport = {
            **(self._evaluate(served, task) if task else self._last_validation(outcome)),
            "transfer": fitted.transfer,
            "training": training,
            "truncation": self.truncation,
        }
        if self.spec.exits and exits is None:
            report["notes"] = [*report.get("notes", []), NO_EXITS]
        split = report["split"]
        metrics = {**outcome.metrics, **{f"{split}/{name}": value for name, value in report["metrics"].items()}}
        architectures = {slot: tuning.merge_choice(choice) for slot, choice in self.plan.architectures.items()}
        package = self._package(
            network,
            task,
            metrics,
            architectures,
            self.folder.package,
            adapter=adapter,
            trace=outcome.trace,
            sizes=sizes,
        )
        if task is not None and sizes:
            report["sizes"] = self._measure_sizes(package, fitted, sizes, report, task)
        if task is not None and exits:
            report["exits"] = self._describe_exits(package, exits, task)
        return TrainingResult(package, report, metrics, outcome.reason)

    def trial_report(self) -> TrainingReport:
        fitted = self.fit()
        _require_finite(fitted.network)
        return {
            **self._last_validation(fitted.outcome),
            "task": self.plan.task.name if self.plan.task else None,
            "transfer": fitted.transfer,
            "training": self._training_section(fitted),
            "truncation": self.truncation,
        }

    def fit(self) -> _Fitted:
        """Train the network, with all ranks."""
        torch.manual_seed(self.spec.seed)
        network = self.plan.network()
        transfer = self._transfer(network) if self.bases else None
        tuning_type = TUNINGS[self.spec.tuning.name]
        tuning = tuning_type(tuning_type.config_type.model_validate(self.spec.tuning.config))
        tuning.apply(network)
        stems = train_stems(network, self.bases)
        trained_names = [name for name, weight in network.named_parameters() if weight.requires_grad]
        slices = self._make_slices()
        groups = {
            weight: options for weight, options in tuning.parameter_groups(network).items() if weight not in stems
        }
        outcome = self._train(network, groups, slices)
        return _Fitted(network, tuning, outcome, transfer, trained_names, slices)

    def _transfer(self, network: Network) -> TransferSection:
        """Load the weights of the base models, and report what came from them."""
        crossings = self.bases.crossings()
        grown = (self.spec.architectures.keys() & self.bases.architectures().keys()) - crossings.keys()
        transfer = transfer_weights(network, self.bases, labels=self._labels(), grown=grown)
        if message := describe_labels(transfer["labels"]):
            self._report_phase("preparing", message)
        if crossings:
            signals = {slot: self.plan.encoders[slot].signal for slot in crossings}
            transfer["crossed"] = describe_crossings(self.bases, transfer, signals)
            for slot, section in transfer["crossed"].items():
                self._report_phase("preparing", describe_crossing(slot, section))
        return transfer

    def _make_slices(self) -> list[NarrowNetwork]:
        if self.spec.sizes is None:
            return []
        shapes = {slot: encoder.shape() for slot, encoder in self.plan.encoders.items()}
        slices = make_slices(self.spec.sizes, self.plan.architectures, shapes=shapes, head=self.plan.head)
        for part in slices:
            self.plan.set_items(part.network)
        return slices

    def _labels(self) -> Sequence[str]:
        return self.plan.task.labels if self.plan.task else []

    def _training_section(self, fitted: _Fitted) -> TrainingSection:
        outcome, tensors = fitted.outcome, dict(fitted.network.named_parameters())
        return {
            "reason": outcome.reason,
            "epochs": outcome.epochs,
            "steps": outcome.steps,
            "best_epoch": outcome.best_epoch,
            "small_data_adjustments": self.small_data_adjustments,
            "max_steps": self.spec.schedule.max_steps,
            "is_cut_by_budget": outcome.is_cut_by_budget,
            "trained_parameters": sum(tensors[name].numel() for name in fitted.trained_names),
            "threads": torch.get_num_threads(),
            "devices": self.ranks,
        }

    def _split(self) -> tuple[Rows, Rows]:
        """Return the rows to train on and the rows to validate on."""
        rows, held_out = self.data.rows("train"), self.data.rows("validation")
        if len(held_out) or len(rows) < 2:
            return rows, held_out
        order = np.random.default_rng([self.spec.seed, len(rows)]).permutation(len(rows))
        count = max(1, round(HELD_OUT_FRACTION * len(rows)))
        return rows.take(np.sort(order[count:])), rows.take(np.sort(order[:count]))

    def _encode(self, split: str, rows: Rows) -> dict[str, Column]:
        """Encode rows to compact arrays; records in `truncation` what encoders dropped."""
        encoded = self._row_encoder.encode(rows, f"{split} {len(rows)}, {self._selection}")
        self.truncation[split] = encoded.losses
        return encoded.columns

    def _train(
        self,
        network: Network,
        group_options: Mapping[Parameter, ParameterGroupOptions],
        slices: Sequence[NarrowNetwork],
    ) -> TrainerResult:
        plan, schedule = self.plan, self.spec.schedule
        objective_type = OBJECTIVES[plan.objective.name]
        objective = objective_type(objective_type.config_type.model_validate(plan.objective.config), network)
        if self.spec.adversary is not None:
            objective = adversarial_objective(objective, self.spec.adversary, plan.encoders)
        if slices:
            objective = NestedObjective(objective, slices)
        objective = objective.to(self.device)
        objective.set_models(
            {path.rpartition(".")[2]: load_network(package).to(self.device) for path, package in self.models.items()}
        )
        rows = len(next(iter(self.train_columns.values())))
        processes = self.rank.connect()
        division = Division(processes.ranks, schedule.accumulate or 1, processes.rank)
        if rows < division.parts:
            message = f"{rows} training rows cannot be divided into {division.parts} parts of a batch"
            raise SpecError(message, hint="Lower devices or schedule.accumulate.")
        batches = ShuffledBatches(
            self.train_columns,
            collate=plan.reader.collate,
            augment=plan.reader.augment,
            batch_size=schedule.batch_rows(rows, parts=division.parts),
            seed=self.spec.seed,
            device=self.device,
            division=division,
        )
        # However batches are divided, a run continues from the same checkpoints.
        spec_json = self.spec.model_dump_json(exclude={"devices": True, "nodes": True, "schedule": {"accumulate"}})
        trainer = Trainer(
            objective,
            batches,
            self._sequential(self._encode("validation", self.held_out)) if len(self.held_out) else None,
            schedule,
            device=self.device,
            checkpoints=Checkpoints(self.workdir, writes=processes.rank == 0),
            fingerprint=self._fingerprint(spec_json),
            earlier_fingerprints=list(map(self._fingerprint, version_1.earlier_spec_jsons(spec_json))),
            on_progress=self._forward_progress,
            should_stop=self.should_stop,
            group_options=group_options,
            processes=processes,
            seed=self.spec.seed,
        )
        few_rows = schedule.describe_small_data(rows, parts=division.parts, has_validation=len(self.held_out) > 0)
        if few_rows:
            self.small_data_adjustments = few_rows
            self._report_phase("preparing", few_rows)
        for reduction in filter(None, (encoder.reduction(self.data.summary) for encoder in plan.encoders.values())):
            self._report_phase("preparing", reduction)
        self.ranks = processes.ranks
        outcome = trainer.fit()
        self.rank.close()
        return outcome

    def _last_validation(self, outcome: TrainerResult) -> EvaluationReport:
        """Return the last validation of the objective: a base model has no task to evaluate."""
        split = "validation"
        metrics = {
            name.partition("/")[2]: value for name, value in outcome.metrics.items() if name.startswith(f"{split}/")
        }
        rows = len(self.held_out)
        return {
            "task": None,
            "objective": self.plan.objective.name,
            "split": split,
            "rows": rows,
            "metrics": metrics,
        }

    def _make_exits(self, fitted: _Fitted, packages: Sequence[ModelPackage], task: Task) -> _Exits | None:
        """Choose the threshold on validation rows, and calibrate the task for what leaves there.

        Returns None if no threshold saves anything.
        """
        self._report_phase("evaluating", "early exits")
        parts = {part.size: part.network for part in reversed(fitted.slices)} | {1.0: fitted.network}
        tasks = {part.size: package.task() for part, package in zip(fitted.slices, packages, strict=True)} | {1.0: task}
        columns = self._encode("validation", self.held_out)
        row, _ = next(iter(self._sequential({name: column[:1] for name, column in columns.items()}).epoch()))
        sizes = []
        for size, network in parts.items():
            calibration = getattr(tasks[size], "calibration", None)
            outputs = self._predict(network, task, columns)
            sizes.append(
                SizeOutputs(
                    size=size,
                    network=network,
                    temperature=calibration.temperature if calibration else 1.0,
                    operations=count_operations(network, row),
                    logits=np.asarray(outputs["logits"]),
                )
            )
        threshold = choose_threshold(sizes, np.asarray(columns["label"]))
        if threshold is None:
            self._report_phase("evaluating", NO_EXITS)
            return None
        exits = _Exits(ExitNetwork(sizes, threshold), sizes)
        self._calibrate(exits.network, task)
        return exits

    def _describe_exits(self, package: ModelPackage, exits: _Exits, task: Task) -> ExitsSection:
        """Write the exits into the manifest, and measure them on the rows of the report."""
        threshold = exits.network.threshold
        package.update(exits=make_exits(package, exits.sizes, threshold))
        test = self.data.rows("test")
        columns = self._encode("test", test) if len(test) else self._encode("validation", self.held_out)
        label = np.asarray(columns["label"])
        sizes = [
            replace(item, logits=np.asarray(self._predict(item.network, task, columns)["logits"]))
            for item in exits.sizes
        ]
        accuracy, fractions, operations = simulate(sizes, label, threshold)
        rows = to_requests(task, self._parity_rows(task)[:PARITY_ROWS])
        latency = measure_latency({"exits": Predictor.load(ModelPackage.open(package.directory))}, rows)["exits"]
        return {
            "threshold": threshold,
            "stages": [{"size": item.size, "rows": fraction} for item, fraction in zip(sizes, fractions, strict=True)],
            "operations": sizes[-1].operations,
            "operations_with_exits": operations,
            "accuracy": float((sizes[-1].logits.argmax(axis=1) == label).mean()),
            "accuracy_with_exits": accuracy,
            "latency_ms": {str(count): milliseconds for count, milliseconds in latency.items()},
        }

    def _calibrate(
        self, network: Network | ExitNetwork, task: Task | None, *, folds: Sequence[_FoldOutputs] = ()
    ) -> None:
        if task is not None and task.is_calibrated and len(self.held_out):
            columns = self._encode("validation", self.held_out)
            task.calibrate(self._predict(network, task, columns), columns, folds=folds)

    def _predict_folds(self, network: Network, task: Task, outcome: TrainerResult) -> list[_FoldOutputs]:
        """Return outputs for parts of the training rows, and the columns of these rows.

        They come from networks that were trained without the part. Features of frozen backbones are computed once.
        """
        rows = len(next(iter(self.train_columns.values())))
        count = min(self.spec.calibration_folds or 0, rows) if isinstance(self.spec, Finetune) else 0
        order = np.random.default_rng([self.spec.seed, rows]).permutation(rows)
        folds: list[_FoldOutputs] = []
        frozen = self._freeze(network, task) if count else None
        for number in range(count):
            self._report_phase("evaluating", f"calibration: fold {number + 1} of {count}")
            part = order[number::count]
            others = np.setdiff1d(order, part)
            run = self._fold_run(number, others, epochs=outcome.best_epoch or outcome.epochs)
            columns = take(self.train_columns, part)
            if frozen is not None:
                run.train_columns = take(frozen.columns, others)
                head = frozen.new_head()
                run._train(head, {}, [])
                folds.append((self._apply_head(head.eval(), take(frozen.columns, part)), columns))
                continue
            fitted = run.fit()
            fitted.tuning.merge(fitted.network)
            folds.append((self._predict(fitted.network.eval(), task, columns), columns))
        return folds

    def _freeze(self, network: Network, task: Task) -> _FrozenTraining | None:
        """Return the features of all training rows, and the head that a training begins with.

        Return None where a training changes the features, by weights or by varied inputs.
        """
        is_varied = type(task).augment is not BatchAdapter.augment or self.spec.adversary is not None
        if self.spec.tuning.name != HeadOnly.name or is_varied or not isinstance(network.head, Classifier):
            return None
        features: dict[str, list[np.ndarray]] = {f"{slot}{POOLED}": [] for slot in network.backbones}
        with torch.no_grad():
            for batch, _ in self._sequential(self.train_columns).epoch():
                for slot, tensors in network.extract_features(batch).items():
                    features[f"{slot}{POOLED}"].append(tensors[Feature.POOLED][0].float().cpu().numpy())
        columns: dict[str, Column] = {name: np.concatenate(parts) for name, parts in features.items()}
        # As `fit` does, so that its random numbers are the same.
        torch.manual_seed(self.spec.seed)
        begun = self.plan.network()
        if self.bases:
            self._transfer(begun)
        # The inputs, too: batches are made of rows of about one length.
        columns = {**self.train_columns, **columns}
        return _FrozenTraining(begun.require_head(), list(network.backbones), columns, torch.get_rng_state())

    def _apply_head(self, network: HeadOnFeatures, columns: dict[str, Column]) -> dict[str, Column]:
        with torch.no_grad():
            batches = [to_arrays(network(batch)) for batch, _ in self._sequential(columns).epoch()]
        return {name: np.concatenate([arrays[name] for arrays in batches]) for name in batches[0]}

    def _fold_run(self, number: int, rows: np.ndarray, *, epochs: int) -> _Run:
        """Return the same training on some of the rows, for as many epochs.

        How sure a network is of rows that it has not seen depends on how long it was trained.
        """
        schedule = self.spec.schedule
        run = copy.copy(self)
        run.rank, run.workdir, run.held_out = Rank(), self.folder.fold(number), self.held_out.take([])
        run.train_columns = take(self.train_columns, rows)
        repeats = schedule.epoch_repeats(math.ceil(len(rows) / schedule.batch_rows(len(rows))))
        planned = max(require_resolved(schedule.epochs), math.ceil(epochs / repeats))
        update = {"epochs": planned, "early_stopping": None, "max_steps": None}
        run.spec = self.spec.model_copy(update={"schedule": schedule.model_copy(update=update)})
        run._last, run._on_progress = Progress(epoch=0, epochs=0, step=0, steps=0), lambda _: None

        def should_stop() -> Stop | None:
            last = run._last
            is_done = last.epochs > 0 and last.step * last.epochs >= epochs * last.steps
            return self.should_stop() or (Stop.FINISH if is_done else None)

        run.should_stop = should_stop
        return run

    def _finish_size(self, part: NarrowNetwork, whole: Network, task: Task) -> ModelPackage:
        """Evaluate and package a narrower network as a model of its own."""
        part.copy_weights(whole)
        network = part.network.eval()
        self._calibrate(network, task)
        evaluation = self._evaluate(network, task)
        metrics = {f"{evaluation['split']}/{name}": value for name, value in evaluation["metrics"].items()}
        folder = self.folder.size(part.size)
        folder.parent.mkdir(exist_ok=True)
        return self._package(network, task, metrics, part.architectures, folder)

    def _measure_sizes(
        self,
        package: ModelPackage,
        fitted: _Fitted,
        parts: Sequence[ModelPackage],
        report: EvaluationReport,
        task: Task,
    ) -> list[SizeSection]:
        """Measure all sizes in turns, and write the figures into the manifest."""
        self._report_phase("measuring")
        networks = {1.0: fitted.network, **{part.size: part.network for part in fitted.slices}}
        folders = {
            1.0: package.directory,
            **{part.size: package.directory / f"sizes/{part.size:g}" for part in fitted.slices},
        }
        packages = {size: ModelPackage.open(folder) for size, folder in folders.items()}
        row, _ = next(iter(self._sequential({name: column[:1] for name, column in self.train_columns.items()}).epoch()))
        operations = {size: count_operations(network, row) for size, network in networks.items()}
        sizes = measure_sizes(packages, operations, to_requests(task, self._parity_rows(task)[:PARITY_ROWS]))
        package.update(sizes=sizes)
        split, rows = report["split"], report["rows"]
        return [describe_size(size, split=split, rows=rows) for size in sizes]

    def _evaluate(self, network: Network | ExitNetwork, task: Task) -> EvaluationReport:
        """Evaluate the task on the test split, or on validation rows without one."""
        self._report_phase("evaluating")
        test = self.data.rows("test")
        split, rows = ("test", test) if len(test) else ("validation", self.held_out)
        columns = self._encode(split, rows)
        evaluation = task.evaluate(self._predict(network, task, columns), columns, train=self.train_columns)
        warnings = find_weaknesses(evaluation, task.metrics, rows_name=f"{len(rows)} rows of {split}")
        for warning in warnings:
            self._report_phase("evaluating", warning)
        sections: EvaluationReport = {
            "task": task.name,
            "split": split,
            "rows": len(rows),
            "metrics": evaluation.metrics,
            "warnings": warnings,
            "notes": evaluation.notes,
            "baseline": evaluation.baseline,
            "intervals": evaluation.intervals,
        }
        if self.spec.adversary is not None and isinstance(network, Network):
            sections["robustness"] = {"attack": self._measure_robustness(network, columns, self.spec.adversary)}
        return cast("EvaluationReport", {**sections, **evaluation.extra})

    def _measure_robustness(self, network: Network, columns: dict[str, Column], adversary: Choice) -> AttackReport:
        """Attack the evaluated rows in the norm that was trained against, around its radius."""
        self._report_phase("evaluating", "under attack")
        attack = ATTACKS[adversary.name].config_type.model_validate(adversary.config)
        batches = self._sequential(columns).epoch()
        section = measure_robustness(network, self.plan.encoders, batches, attack=attack)
        for warning in section["warnings"]:
            self._report_phase("evaluating", warning)
        return section

    def _predict(self, network: Network | ExitNetwork, task: Task, columns: dict[str, Column]) -> dict[str, Column]:
        """Collect the outputs to evaluate, in float32 as in serving."""
        collected: dict[str, list[np.ndarray]] = {}
        run = make_runner(network, task.graph_inputs(), device=self.device)
        with torch.no_grad():
            for batch, _ in self._sequential(columns).epoch():
                arrays = to_arrays(batch)
                predict = partial(task.predict, run, arrays)
                for name, values in task.collect(to_arrays(network(batch)), arrays, predict).items():
                    collected.setdefault(name, []).append(values)
                if self.should_stop() is Stop.LEAVE:
                    raise TrainingInterrupted("interrupted during evaluation; the last checkpoint is complete")
        return {name: _concatenate(batches) for name, batches in collected.items()}

    def _package(
        self,
        network: Network,
        task: Task | None,
        metrics: dict[str, float],
        architectures: Mapping[str, Choice],
        into: Path,
        *,
        adapter: Mapping[str, Tensor] | None = None,
        trace: Sequence[Mapping[str, Any]] = (),
        sizes: Sequence[ModelPackage] = (),
    ) -> ModelPackage:
        self._report_phase("exporting")
        plan = self.plan
        return pack(
            network if task or plan.task is None else network.without_head(),
            into,
            architectures=architectures,
            encoders=plan.encoders,
            task=task,
            head=plan.head,
            reader=plan.reader,
            rows=self._parity_rows(task),
            objective=plan.objective,
            metrics=metrics,
            adapter=adapter,
            parts={f"{SIZES}{part.directory.name}": part.directory for part in sizes},
            has_frozen_backbone=self.bases.has_backbones_of(network),
            trace=TrainingTrace(
                environment=current_environment(self.device, dataset_digest=self.data.summary.digest),
                checkpoints=[TracedStep.model_validate(step) for step in trace],
            ),
            source=Provenance(
                spec=self.spec.model_dump(mode="json"),
                dataset_digest=self.data.summary.digest,
                parent=self.bases.digests,
                models=self._model_digests(),
            ),
        )

    def _parity_rows(self, task: Task | None) -> Rows:
        """Return rows to compare graphs on: held-out ones, if some are valid requests."""
        held_out = self.held_out
        if len(held_out) and (task is None or to_requests(task, held_out[:PARITY_ROWS])):
            return held_out
        return self.data.rows("train")

    def _sequential(self, columns: dict[str, Column]) -> SequentialBatches:
        training_rows = require_resolved(self.spec.schedule.batch_size)
        rows = min(MAX_EVALUATION_BATCH_ROWS, EVALUATION_ROWS_PER_TRAINING_ROW * training_rows)
        return SequentialBatches(columns, collate=self.plan.reader.collate, batch_size=rows, device=self.device)

    def _fingerprint(self, spec_json: str) -> str:
        """Return the SHA-256 of the spec, the data and all models used."""
        parent = self.bases.digests or ""
        models = " ".join(f"{path} {sha256}" for path, sha256 in sorted(self._model_digests().items()))
        text = f"{spec_json} {self.data.summary.digest} {parent} {models}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _model_digests(self) -> dict[str, str]:
        return {path: digest(package.directory / MANIFEST) for path, package in self.models.items()}

    def _forward_progress(self, progress: Progress) -> None:
        self._last = progress
        self._on_progress(progress)

    def _report_phase(self, phase: str, message: str | None = None) -> None:
        position = {name: getattr(self._last, name) for name in ("epoch", "epochs", "step", "steps")}
        self._forward_progress(Progress(**position, phase=phase, message=message))


def _require_finite(network: Network) -> None:
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise TrainingDiverged("a weight is not finite", hint="Lower the learning rate or clip gradients.")


def _concatenate(batches: list[np.ndarray]) -> Column:
    """Join batches to one array, or to a list of rows if their shapes differ."""
    if len({batch.shape[1:] for batch in batches}) == 1:
        return np.concatenate(batches)
    return [row for batch in batches for row in batch]


def _check_and_resolve(
    spec: Spec, summary: DatasetSummary, bases: BaseModels, models: Mapping[str, ModelPackage]
) -> Spec:
    catalog = Catalog.load()
    base = bases.manifests
    manifests = {path: package.manifest for path, package in models.items()}
    if findings := check(spec, catalog, summary, base, manifests):
        raise SpecError.of(findings)
    absent = split_references(references(spec, catalog))[1].keys() - models.keys()
    if absent:
        raise SpecError(f"the package of {', '.join(sorted(absent))} is missing", hint="Give it in `models`.")
    return resolve(spec, catalog, summary, base)


def _check_encoders_agree(bases: BaseModels, models: Mapping[str, ModelPackage]) -> None:
    """Require that base models and models to learn from have equal encoders."""
    base_files = bases.encoder_files()
    for path, package in models.items():
        for file in package.manifest.files:
            if base_files.get(file.path, file.sha256) != file.sha256:
                message = f"start_from has another {file.path} than {path}"
                hint = "Start from scratch, or from a model with the same encoder."
                raise SpecError(message, hint=hint)
