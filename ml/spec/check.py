"""Check of a spec before a worker runs it, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml.encoders import ENCODERS
from ml.errors import Finding, unknown
from ml.signals import Signal
from ml.spec.crossing import check_body, check_body_options, source_slot
from ml.spec.division import check_division
from ml.spec.growth import check_growth
from ml.spec.requirements import BaseManifests, BaseParts, Requirements, architectures_by_slot, may_come_from_base
from ml.spec.schema import START_FROM, Finetune, Pretrain
from ml.spec.sizes import check_sizes
from ml.tasks import TASKS
from ml.tasks.base import check_row_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ml.config import Choice
    from ml.data.dataset import DatasetSummary
    from ml.package.manifest import Manifest
    from ml.spec.catalog import Catalog, CatalogEntry

MAX_MESSAGE_CHARACTERS = 300


def check(
    spec: Pretrain | Finetune,
    catalog: Catalog,
    dataset: DatasetSummary | None = None,
    base: BaseManifests = None,
    models: Mapping[str, Manifest] | None = None,
) -> list[Finding]:
    """Return every fault of a spec; an empty list means that it can be trained.

    What is not known yet (`dataset` still being read, `base` still being trained) is not checked. `models` are those
    that options name, by path (see `references`).
    """
    return list(_Check(spec, catalog, dataset, base, models or {}).findings())


class _Check:
    def __init__(
        self,
        spec: Pretrain | Finetune,
        catalog: Catalog,
        dataset: DatasetSummary | None,
        base: BaseManifests,
        models: Mapping[str, Manifest],
    ) -> None:
        self.spec = spec
        self.catalog = catalog
        self.dataset = dataset
        self.base = base
        self.base_parts = BaseParts.of(base)
        self.models = models
        self.requirements = Requirements.of(spec, catalog, dataset)

    def findings(self) -> Iterator[Finding]:
        graphs = list(self._check_graph_only_bases())
        if graphs:
            yield from graphs
            return
        yield from self._check_names()
        yield from self._check_task()
        yield from self._check_schedule()
        if self.requirements is not None:
            yield from self._check_slots(self.requirements)
            yield from self._check_encoders(self.requirements)
            yield from self._check_models(self.requirements)
            yield from self._check_adversary(self.requirements)
            yield from self._check_monitor(self.requirements)
            yield from self._check_dataset(self.requirements)

    def _check_graph_only_bases(self) -> Iterator[Finding]:
        """A base model that was imported as an ONNX graph has no weights to train."""
        bases = self.base if isinstance(self.base, Mapping) else {None: self.base} if self.base else {}
        for slot, manifest in bases.items():
            if not manifest.architectures:
                message = "start_from is an ONNX graph without weights, which cannot be trained"
                path = f"{START_FROM}.{slot}" if slot else START_FROM
                hint = "Name a model that was trained here or imported with its weights."
                yield Finding(code="does_not_fit", message=message, path=path, hint=hint)

    def _check_names(self) -> Iterator[Finding]:
        """Every name exists, and every option exists and has an allowed value."""
        spec, catalog = self.spec, self.catalog
        yield from check_choice("objective", spec.objective, catalog.objectives, path="objective")
        if isinstance(spec, Finetune):
            yield from check_choice("tuning", spec.tuning, catalog.tunings, path="tuning")
        if spec.adversary is not None:
            yield from check_choice("attack", spec.adversary, catalog.attacks, path="adversary")
        if spec.task is not None:
            yield from check_choice("task", spec.task, catalog.tasks, path="task")
        if spec.architecture is not None:
            yield from check_choice("architecture", spec.architecture, catalog.architectures, path="architecture")
        for slot, choice in spec.architectures.items():
            yield from check_choice("architecture", choice, catalog.architectures, path=f"architectures.{slot}")

    def _check_task(self) -> Iterator[Finding]:
        spec = self.spec
        objective = self.catalog.objectives.get(spec.objective.name)
        if isinstance(spec, Finetune):
            if objective is not None and not objective.needs_labels:
                supervised = [name for name, entry in self.catalog.objectives.items() if entry.needs_labels]
                message = f"{objective.name} learns without a task"
                hint = "Pretrain with it, then fine-tune from the model that it makes."
                expected = _join(supervised)
                yield Finding(code="conflict", message=message, path="objective", expected=expected, hint=hint)
            tuning = self.catalog.tunings.get(spec.tuning.name)
            if tuning is not None and tuning.needs_base and spec.start_from is None:
                message = f"{tuning.name} needs a base model, and the spec names none"
                yield Finding(code="needs_base", message=message, path="tuning", hint="Name one in start_from.")
            return
        if objective is None:
            return
        if objective.needs_labels and spec.task is None and (self.dataset is not None and self.dataset.task is None):
            message = f"{objective.name} trains a task; neither the spec nor the dataset names one"
            yield Finding(code="missing", message=message, path="task", expected=", ".join(self.catalog.tasks))
        if not objective.needs_labels and spec.task is not None:
            message = f"{objective.name} learns without a task"
            yield Finding(code="conflict", message=message, path="task", hint="Leave task out.")

    def _check_schedule(self) -> Iterator[Finding]:
        schedule = self.spec.schedule
        for name in ("momentum", "nesterov"):
            if getattr(schedule, name) is not None and schedule.optimizer != "sgd":
                hint = "Set optimizer to sgd, or leave it out."
                message = f"{name} applies to the optimizer sgd only"
                yield Finding(code="conflict", message=message, path=f"schedule.{name}", hint=hint)
        if schedule.nesterov and schedule.momentum == 0:
            message = "nesterov needs a momentum above 0"
            hint = "Set momentum, 0.9 for example, or nesterov to false."
            yield Finding(code="conflict", message=message, path="schedule.nesterov", hint=hint)
        yield from check_division(self.spec)

    def _check_slots(self, requirements: Requirements) -> Iterator[Finding]:
        """Each slot has one backbone, and the backbone fits."""
        spec = self.spec
        architectures = architectures_by_slot(spec, requirements.slots, self.base)
        if spec.architecture is not None and (spec.architectures or len(requirements.slots) > 1):
            message = f"architecture names the only slot; {requirements.owner} has {_join(requirements.slots)}"
            hint = "Use architectures, with one for each slot, and leave architecture out."
            yield Finding(code="conflict", message=message, path="architecture", hint=hint)
        for slot in spec.architectures.keys() - requirements.slots.keys():
            yield unknown("slot", slot, requirements.slots, path=f"architectures.{slot}")
        yield from self._check_bases(requirements)
        yield from self._check_coverage(requirements, architectures)
        for slot, (path, name) in self._chosen_architectures(architectures).items():
            if slot in requirements.slots and name in self.catalog.architectures:
                reason = self.catalog.unmet(requirements.owner, requirements.slots[slot], name)
                if reason is not None:
                    yield Finding(code="does_not_fit", message=reason, path=path, found=name)
                yield from self._check_tuning(name)
        if isinstance(spec, Finetune):
            names = [name for _, name in self._chosen_architectures(architectures).values()]
            yield from check_sizes(spec, self.catalog, names)
            yield from _check_calibration(spec)

    def _check_coverage(self, requirements: Requirements, architectures: Mapping[str, Choice]) -> Iterator[Finding]:
        """No slot has two backbones, and none has no backbone."""
        base = self.base_parts.architectures
        for slot, entry in requirements.slots.items():
            path = f"architectures.{slot}" if self.spec.architectures else "architecture"
            if slot in architectures and slot in base:
                yield from self._check_against_base(architectures[slot], base[slot], slot=slot, path=path)
            elif slot not in architectures and slot not in base and not may_come_from_base(self.spec, slot, self.base):
                names = self.catalog.architectures
                fitting = [name for name in names if not self.catalog.unmet(requirements.owner, entry, name)]
                message = f"no architecture is named for the slot {slot}"
                hint = "Name an architecture, or a model that has one in start_from."
                yield Finding(code="missing", message=message, path=path, expected=", ".join(fitting), hint=hint)

    def _check_against_base(self, choice: Choice, base: Choice, *, slot: str, path: str) -> Iterator[Finding]:
        """An architecture beside a base model grows it, or has its body."""
        entry = self.catalog.architectures[base.name]
        start_from = self.spec.start_from
        crosses = isinstance(self.base, Mapping) and source_slot(self.base[slot], slot) != slot
        if crosses and isinstance(start_from, dict):
            yield from check_body_options(choice, base, entry, model=start_from[slot], slot=slot, path=path)
        else:
            yield from check_growth(choice, base, entry, slot=slot, path=path)

    def _check_tuning(self, architecture: str) -> Iterator[Finding]:
        spec, tunings = self.spec, self.catalog.tunings
        if not isinstance(spec, Finetune) or spec.tuning.name not in tunings:
            return
        name = spec.tuning.name
        reason = tunings[name].unfit.get(architecture)
        if reason is not None:
            fitting = [tuning for tuning, entry in tunings.items() if architecture not in entry.unfit]
            message = f"{name} does not fit {architecture}: {reason}"
            yield Finding(code="does_not_fit", message=message, path="tuning", found=name, expected=_join(fitting))

    def _check_bases(self, requirements: Requirements) -> Iterator[Finding]:
        """A base model named for a slot has a backbone for it."""
        if not isinstance(self.spec.start_from, dict):
            base = self.base_parts.architectures
            if base and base.keys().isdisjoint(requirements.slots):
                slots = f"it reads {_join(base)}, {requirements.owner} reads {_join(requirements.slots)}"
                message = f"nothing of {self.spec.start_from} can be used: {slots}"
                hint = "Name a model that reads the same, or leave start_from out."
                names = [choice.name for choice in base.values()]
                if len(names) == 1 and self.catalog.architectures[names[0]].body_options:
                    slot = next(iter(requirements.slots))
                    hint += f' To take its body alone, name it for a slot: {{"{slot}": "{self.spec.start_from}"}}.'
                yield Finding(code="does_not_fit", message=message, path=START_FROM, hint=hint)
            return
        for slot in self.spec.start_from.keys() - requirements.slots.keys():
            yield unknown("slot", slot, requirements.slots, path=f"{START_FROM}.{slot}")
        for slot, manifest in self.base.items() if isinstance(self.base, Mapping) else ():
            if slot not in requirements.slots or slot in manifest.architectures:
                continue
            model, path, source = self.spec.start_from[slot], self._base_path(slot), source_slot(manifest, slot)
            if source is not None:
                backbone, entries = manifest.architectures[source], self.catalog.architectures
                yield from check_body(model, source, backbone, entries, slot=slot, path=path)
            elif manifest.architectures:
                slots = _join(manifest.architectures)
                message = f"{model} has no backbone for {slot}; it has {slots}"
                hint = "Name a model with this slot, or one with a single slot, whose body can cross."
                yield Finding(code="missing", message=message, path=path, expected=slot, found=slots, hint=hint)

    def _base_path(self, slot: str) -> str:
        return f"{START_FROM}.{slot}" if isinstance(self.spec.start_from, dict) else START_FROM

    def _chosen_architectures(self, architectures: Mapping[str, Choice]) -> Mapping[str, tuple[str, str]]:
        """Path in the spec and name of the architecture of each slot."""
        path = "architectures.{}" if self.spec.architectures else "architecture"
        return {
            **{slot: (self._base_path(slot), choice.name) for slot, choice in self.base_parts.architectures.items()},
            **{slot: (path.format(slot), choice.name) for slot, choice in architectures.items()},
        }

    def _check_encoders(self, requirements: Requirements) -> Iterator[Finding]:
        for slot, options in self.spec.encoders.items():
            path = f"encoders.{slot}"
            if slot not in requirements.slots:
                yield unknown("slot", slot, requirements.slots, path=path)
            elif slot in self.base_parts.encoders:
                message = f"start_from brings its encoder for {slot}, which cannot be changed"
                yield Finding(code="conflict", message=message, path=path, hint="Leave it out.")
            else:
                schema = ENCODERS[requirements.slots[slot].encoder].config_type.model_json_schema()
                # An option that is absent is learned from the data.
                yield from _check_options({**schema, "required": []}, options, path=path)
        for slot, choice in self.base_parts.encoders.items():
            if slot in requirements.slots:
                yield from self._check_base_encoder(requirements, slot, choice)

    def _check_base_encoder(self, requirements: Requirements, slot: str, choice: Choice) -> Iterator[Finding]:
        name = requirements.slots[slot].encoder
        path = self._base_path(slot)
        if choice.name != name:
            message = f"{requirements.owner} reads {slot} with the encoder {name}; start_from has {choice.name}"
            yield Finding(code="does_not_fit", message=message, path=path)
        elif self.dataset is not None:
            encoder = ENCODERS[name]
            loss = encoder.data_loss(encoder.config_type.model_validate(choice.config), self.dataset)
            if loss is not None:
                hint = "Start from a base model that was trained on such data, or from scratch."
                yield Finding(code="does_not_fit", message=f"start_from {loss}", path=path, hint=hint)

    def _check_models(self, requirements: Requirements) -> Iterator[Finding]:
        """A model to learn a task from has that task and the same labels."""
        objective = self.catalog.objectives[self.spec.objective.name]
        if objective.needs_choices and requirements.head and not self.catalog.heads[requirements.head].chooses:
            message = f"{objective.name} needs a task that chooses among classes; {requirements.owner} does not"
            yield Finding(code="does_not_fit", message=message, path="objective", found=objective.name)
        if requirements.task is None:
            return
        task = requirements.task.name
        classes = self.dataset.classes if self.dataset is not None else None
        for path, manifest in self.models.items():
            model_task = manifest.task.name if manifest.task else None
            if model_task != task:
                message = f"the model is for {model_task or 'embeddings only'}, not for {task}"
                yield Finding(code="does_not_fit", message=message, path=path, expected=task, found=model_task)
            elif manifest.labels is not None and classes is not None and manifest.labels != classes:
                message = "the labels of the model differ from those of the dataset, or are in another order"
                expected, labels = (_shorten(_join(names)) for names in (classes, manifest.labels))
                yield Finding(code="does_not_fit", message=message, path=path, expected=expected, found=labels)

    def _check_adversary(self, requirements: Requirements) -> Iterator[Finding]:
        """An attack perturbs a signal that the task reads."""
        adversary = self.spec.adversary
        if adversary is None or adversary.name not in self.catalog.attacks:
            return
        signals = {ENCODERS[slot.encoder].signal for slot in requirements.slots.values()}
        attacked = self.catalog.attacks[adversary.name].signals
        if signals.isdisjoint(attacked):
            message = f"{requirements.owner} reads {_join(sorted(signals))}, of which {adversary.name} can perturb none"
            hint = "Leave adversary out."
            yield Finding(
                code="does_not_fit", message=message, path="adversary", expected=_join(sorted(attacked)), hint=hint
            )
        elif Signal.TOKENS in signals and adversary.config.get("norm") == "linf":
            message = "embeddings of tokens are perturbed in the norm l2 alone: their values have no scale of their own"
            hint = "Set norm to l2, or leave it out."
            yield Finding(code="does_not_fit", message=message, path="adversary.config.norm", expected="l2", hint=hint)

    def _check_monitor(self, requirements: Requirements) -> Iterator[Finding]:
        stopping = self.spec.schedule.early_stopping
        scores = list(requirements.scores)
        if self.spec.adversary is not None:
            scores += [f"robust_{name}" for name in scores]
        if self.spec.sizes is not None:
            scores += [f"{name}_at_{size:g}" for name in requirements.scores for size in self.spec.sizes if size < 1]
        metrics = ["train/loss", "validation/loss", *(f"validation/{name}" for name in scores)]
        if stopping is not None and stopping.monitor not in metrics:
            yield unknown("metric to monitor", stopping.monitor, metrics, path="schedule.early_stopping.monitor")

    def _check_dataset(self, requirements: Requirements) -> Iterator[Finding]:
        if self.dataset is None:
            return
        if requirements.task:
            task = TASKS[requirements.task.name]
            reasons: Iterable[str] = [
                *task.check_dataset(self.dataset),
                *task.check_options(requirements.task.config, self.dataset),
            ]
        else:
            reasons = self._missing_columns(requirements, self.dataset)
        for reason in reasons:
            yield Finding(code="unfit_dataset", message=reason, path="dataset", found=self.spec.dataset)

    def _missing_columns(self, requirements: Requirements, dataset: DatasetSummary) -> Iterator[str]:
        for column, column_type in self.catalog.objectives[requirements.owner].columns.items():
            if dataset.columns.get(column) != column_type:
                columns = ", ".join(dataset.columns) or "none"
                yield f"{requirements.owner} needs a column {column!r} of type {column_type}; the dataset has {columns}"
            elif missing := dataset.count_missing(column):
                yield f"{requirements.owner} needs a value of {column!r} in every row; {missing:,} rows have none"
        yield from check_row_counts(dataset)


def check_choice(noun: str, choice: Choice, entries: Mapping[str, CatalogEntry], *, path: str) -> Iterator[Finding]:
    """Yield the faults of a name and of its options."""
    if choice.name not in entries:
        yield unknown(noun, choice.name, entries, path=path)
    else:
        yield from _check_options(entries[choice.name].config_schema, choice.config, path=f"{path}.config")


def _check_options(schema: Mapping[str, Any], config: Mapping[str, Any], *, path: str) -> Iterator[Finding]:
    # Imported here: it takes 0.1 s, which only a process that checks specs has to spend.
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema).iter_errors(config):
        error_path = ".".join((path, *(str(part) for part in error.absolute_path)))
        if error.validator == "additionalProperties":
            options = error.schema.get("properties", {})
            for name in error.instance.keys() - options.keys():
                yield unknown("option", name, options, path=f"{error_path}.{name}")
        elif error.validator == "enum" and isinstance(error.instance, str):
            yield unknown(error_path.rpartition(".")[2], error.instance, error.validator_value, path=error_path)
        else:
            # A value that may be null has a schema for each case; the reason is in the one that is not null.
            reasons = [reason for reason in error.context or () if reason.validator != "type"]
            yield Finding(code="invalid_option", message=_shorten((reasons or [error])[0].message), path=error_path)


def _shorten(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else f"{message[:140]} ... {message[-140:]}"


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _check_calibration(spec: Finetune) -> Iterator[Finding]:
    """Yield why folds cannot calibrate what is trained."""
    if spec.calibration_folds is None:
        return
    if spec.task.name in TASKS and not TASKS[spec.task.name].is_calibrated:
        classifiers = ", ".join(name for name, task in TASKS.items() if task.is_calibrated)
        message = f"{spec.task.name} has no probabilities of classes to calibrate"
        hint = "Leave calibration_folds out."
        yield Finding(code="does_not_fit", message=message, path="calibration_folds", expected=classifiers, hint=hint)
    if spec.sizes is not None:
        message = "folds calibrate one size alone"
        hint = "Leave out one of sizes and calibration_folds."
        yield Finding(code="conflict", message=message, path="calibration_folds", expected="null", hint=hint)
