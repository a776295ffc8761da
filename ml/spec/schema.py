"""What a user may ask for; JSON in, JSON schema out. What is wrong with it is found here, before a worker is asked.

Everything is judged by the catalogue, which is data: this half has no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field

from ml.config import Config
from ml.encoders import ENCODERS
from ml.errors import Finding, unknown
from ml.schedule import Schedule
from ml.tasks import TASKS
from ml.tasks.base import too_few

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ml.data.dataset import DatasetSummary
    from ml.package.package import Manifest
    from ml.spec.catalog import Catalog, Entry, SlotEntry

    Parents: TypeAlias = Manifest | Mapping[str, Manifest] | None
    """What `start_from` names: one model, or by slot the model it is taken from; None where none is, or not yet."""

T = TypeVar("T")

MODEL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
START_FROM: Final = "start_from"
MODEL_FORMAT: Final = "model"
"""Of an option, in its JSON schema: it names a registered model."""


class Choice(Config):
    """A name out of a registry and its options. A bare name is short for `{"name": ...}`."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


def _expand(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[Choice, BeforeValidator(_expand, json_schema_input_type=str | Choice)]


class _Training(Config):
    """What both kinds say. `architecture` is short for `architectures` of a task or objective with one slot."""

    dataset: str
    architecture: Named | None = None
    architectures: dict[str, Named] = Field(default_factory=dict)
    """By slot."""
    encoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By slot, what an encoder is not to learn from the data but to take from here (`{"image": {"height": 32}}`)."""
    start_from: str | dict[str, str] | None = None
    """A model; it brings its backbones and encoders. Or by slot a model each, of which that slot is taken."""
    schedule: Schedule = Schedule()
    seed: int = Field(0, ge=0, lt=2**32)
    model: str = Field(pattern=MODEL_NAME)


class Pretrain(_Training):
    """Learn a backbone without labels, or with them (`supervised`)."""

    kind: Literal["pretrain"]
    objective: Named
    task: Named | None = None
    """For an objective that trains one; where absent, the task that the dataset is for."""


class Finetune(_Training):
    """Fit a network to a task, from a base model or from scratch."""

    kind: Literal["finetune"]
    task: Named
    objective: Named = Choice(name="supervised")
    """One that learns a task."""
    tuning: Named = Choice(name="full")


Spec = Annotated[Pretrain | Finetune, Field(discriminator="kind")]

DEFAULTS: Final = Schedule(
    epochs=10,
    least_steps=200,
    batch_size=128,
    least_batches=8,
    optimizer="adamw",
    decay="cosine",
    precision="auto",
)
"""Where neither user nor recipe says anything. What stays absent is off."""
FOR_FEW_ROWS: Final = {"epochs": "least_steps", "batch_size": "least_batches"}
"""What recipes say with thousands of rows in mind, and what mends it for few. Who names the one gets that very number,
and the other only if it is named, too."""
OPTIMIZERS: Final[Mapping[str, Schedule]] = {
    "sgd": Schedule(learning_rate=0.05, momentum=0.9, nesterov=False, weight_decay=5e-4),
    "adam": Schedule(learning_rate=1e-3, weight_decay=0.0),
    "adamw": Schedule(learning_rate=1e-3, weight_decay=0.01),
}
DEPENDENT: Final = {
    "optimizer": {"learning_rate", "momentum", "nesterov", "weight_decay"},
    "decay": {"warmup_fraction"},
}
"""What a recipe says of these holds for its own optimizer or decay alone."""


def references(spec: Pretrain | Finetune, catalog: Catalog) -> dict[str, str]:
    """Path -> the model that is named there: `start_from`, and options whose schema has the format `model`."""
    if isinstance(spec.start_from, dict):
        found = {f"{START_FROM}.{slot}": named for slot, named in spec.start_from.items()}
    else:
        found = {START_FROM: spec.start_from} if spec.start_from else {}
    objective = catalog.objectives.get(spec.objective.name)
    options = objective.config_schema.get("properties", {}) if objective else {}
    for name, option in options.items():
        named = spec.objective.config.get(name)
        if option.get("format") == MODEL_FORMAT and isinstance(named, str):
            found[f"objective.config.{name}"] = named
    return found


def parted(found: Mapping[str, T]) -> tuple[T | dict[str, T] | None, dict[str, T]]:
    """What was found for `references`, by path: for `start_from`, by slot where it says so, and for all others."""
    rest = {path: each for path, each in found.items() if path.partition(".")[0] != START_FROM}
    by_slot = {path.partition(".")[2]: each for path, each in found.items() if path not in rest}
    return by_slot.get("", by_slot or None), rest


def check(
    spec: Pretrain | Finetune,
    catalog: Catalog,
    dataset: DatasetSummary | None = None,
    parent: Parents = None,
    models: Mapping[str, Manifest] | None = None,
) -> list[Finding]:
    """Everything that is wrong with a spec, at once; empty when it can be trained.

    What is not known yet (`dataset` is still being read, `parent` being trained) is not judged. `models` are those that
    options name, by path (see `references`).
    """
    return list(_Check(spec, catalog, dataset, parent, models or {}).findings())


def resolve(
    spec: Pretrain | Finetune, catalog: Catalog, dataset: DatasetSummary | None = None, parent: Parents = None
) -> Pretrain | Finetune:
    """The same spec with every default filled; of one that `check` finds nothing wrong with.

    What the user said goes before what an architecture says of starting from a base model, that before the recipe of
    the objective or the task, that before the architecture's, that before `DEFAULTS`. A tuning raises a learning rate
    that only recipes have to the least that is usual for it. Resolving again changes nothing.
    """
    wanted = _Wanted.of(spec, catalog, dataset)
    assert wanted is not None, "a spec that was checked"
    architectures = {
        slot: _filled_architecture(choice, catalog) for slot, choice in _by_slot(spec, wanted.slots, parent).items()
    }
    brought = {slot: choice.name for slot, choice in _Brought.of(parent).architectures.items()}
    chosen = {**brought, **{slot: choice.name for slot, choice in architectures.items()}}
    recipes = [catalog.architectures[name].recipe for slot, name in chosen.items() if slot in wanted.slots]
    changes: dict[str, Any] = {"architecture": None, "architectures": architectures}
    objective = catalog.objectives[spec.objective.name]
    recipes.insert(0, objective.recipe)
    changes["objective"] = _filled(spec.objective, objective)
    if isinstance(spec, Finetune):
        changes["tuning"] = _filled(spec.tuning, catalog.tunings[spec.tuning.name])
    if wanted.task is not None:
        task = catalog.tasks[wanted.task.name]
        recipes.insert(0, task.recipe)
        changes["task"] = _filled(wanted.task, task)
    tuning = catalog.tunings[spec.tuning.name] if isinstance(spec, Finetune) else None
    # A tuning that there is only for a base keeps what that has learned, whatever the steps.
    if tuning is None or not tuning.needs_base:
        bases = [catalog.architectures[name].base_recipe for slot, name in brought.items() if slot in wanted.slots]
        recipes = [*bases, *recipes]
    schedule = _filled_schedule(spec.schedule, recipes)
    if tuning is not None and spec.schedule.learning_rate is None:
        rate = max(schedule.learning_rate or 0.0, tuning.least_rate)
        schedule = schedule.model_copy(update={"learning_rate": rate})
    changes["schedule"] = schedule
    return type(spec).model_validate({**dict(spec), **changes})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a run needs, whether a task says so or an objective that learns without one."""

    owner: str
    slots: Mapping[str, SlotEntry]
    head: str | None
    scores: Iterable[str]
    task: Choice | None

    @classmethod
    def of(cls, spec: Pretrain | Finetune, catalog: Catalog, dataset: DatasetSummary | None) -> _Wanted | None:
        """None where names are unknown or no task is named."""
        choice = spec.task
        objective = catalog.objectives.get(spec.objective.name)
        if objective is None:
            return None
        if isinstance(spec, Pretrain):
            if not objective.needs_labels:
                head = catalog.heads[objective.head].scores if objective.head else []
                scores = [*objective.scores, *head]
                return cls(spec.objective.name, objective.slots, objective.head, scores, None)
            if choice is None and dataset is not None and dataset.task is not None:
                choice = Choice(name=dataset.task)
        if choice is None or choice.name not in catalog.tasks:
            return None
        task = catalog.tasks[choice.name]
        scores = [*objective.scores, *catalog.heads[task.head].scores]
        return cls(choice.name, task.slots, task.head, scores, choice)


@dataclass(frozen=True, slots=True)
class _Brought:
    """What comes from `start_from`, by slot."""

    architectures: Mapping[str, Choice]
    encoders: Mapping[str, Choice]

    @classmethod
    def of(cls, parent: Parents) -> _Brought:
        """All of one model, or of each model the slot it was named for."""
        if parent is None:
            return cls({}, {})
        if not isinstance(parent, Mapping):
            return cls(parent.architectures, parent.encoders)
        having = {slot: each for slot, each in parent.items() if slot in each.architectures}
        return cls(
            {slot: each.architectures[slot] for slot, each in having.items()},
            {slot: each.encoders[slot] for slot, each in having.items() if slot in each.encoders},
        )


class _Check:
    def __init__(
        self,
        spec: Pretrain | Finetune,
        catalog: Catalog,
        dataset: DatasetSummary | None,
        parent: Parents,
        models: Mapping[str, Manifest],
    ) -> None:
        self.spec = spec
        self.catalog = catalog
        self.dataset = dataset
        self.parent = parent
        self.brought = _Brought.of(parent)
        self.models = models
        self.wanted = _Wanted.of(spec, catalog, dataset)

    def findings(self) -> Iterator[Finding]:
        graphs = list(self._graphs_alone())
        if graphs:
            yield from graphs
            return
        yield from self._choices()
        yield from self._task()
        yield from self._schedule()
        if self.wanted is not None:
            yield from self._slots(self.wanted)
            yield from self._encoders(self.wanted)
            yield from self._models(self.wanted)
            yield from self._monitor(self.wanted)
            yield from self._data(self.wanted)

    def _graphs_alone(self) -> Iterator[Finding]:
        """What came in as a graph answers, but has no weights to train on."""
        bases = self.parent if isinstance(self.parent, Mapping) else {None: self.parent} if self.parent else {}
        for slot, base in bases.items():
            if not base.architectures:
                message = "start_from is a graph alone: it answers, but there are no weights to train on"
                yield Finding(code="does_not_fit", message=message, path=f"start_from.{slot}" if slot else "start_from")

    def _choices(self) -> Iterator[Finding]:
        """Every name is known, and every option is one, and allowed."""
        spec, catalog = self.spec, self.catalog
        yield from _choice("objective", spec.objective, catalog.objectives, path="objective")
        if isinstance(spec, Finetune):
            yield from _choice("tuning", spec.tuning, catalog.tunings, path="tuning")
        if spec.task is not None:
            yield from _choice("task", spec.task, catalog.tasks, path="task")
        if spec.architecture is not None:
            yield from _choice("architecture", spec.architecture, catalog.architectures, path="architecture")
        for slot, choice in spec.architectures.items():
            yield from _choice("architecture", choice, catalog.architectures, path=f"architectures.{slot}")

    def _task(self) -> Iterator[Finding]:
        spec = self.spec
        objective = self.catalog.objectives.get(spec.objective.name)
        if isinstance(spec, Finetune):
            if objective is not None and not objective.needs_labels:
                labelled = [name for name, each in self.catalog.objectives.items() if each.needs_labels]
                message = f"{objective.name} learns without a task"
                hint = "Pretrain with it, then fine-tune from what it made."
                expected = _listed(labelled)
                yield Finding(code="conflict", message=message, path="objective", expected=expected, hint=hint)
            tuning = self.catalog.tunings.get(spec.tuning.name)
            if tuning is not None and tuning.needs_base and spec.start_from is None:
                message = f"{tuning.name} keeps what a base model has learned, and there is none"
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

    def _schedule(self) -> Iterator[Finding]:
        schedule = self.spec.schedule
        for name in ("momentum", "nesterov"):
            if getattr(schedule, name) is not None and schedule.optimizer != "sgd":
                hint = "Set optimizer to sgd, or leave it out."
                message = f"{name} belongs to the optimizer sgd"
                yield Finding(code="conflict", message=message, path=f"schedule.{name}", hint=hint)
        if schedule.nesterov and schedule.momentum == 0:
            message = "nesterov needs a momentum above 0"
            yield Finding(code="conflict", message=message, path="schedule.nesterov")

    def _slots(self, wanted: _Wanted) -> Iterator[Finding]:
        """Each slot has one backbone, and it fits."""
        spec, catalog = self.spec, self.catalog
        asked = _by_slot(spec, wanted.slots, self.parent)
        if spec.architecture is not None and (spec.architectures or len(wanted.slots) > 1):
            message = f"architecture is short for the only slot; {wanted.owner} has {_listed(wanted.slots)}"
            hint = "Say architectures: one for each slot, and leave architecture out."
            yield Finding(code="conflict", message=message, path="architecture", hint=hint)
        for slot in spec.architectures.keys() - wanted.slots.keys():
            yield unknown("slot", slot, wanted.slots, path=f"architectures.{slot}")
        yield from self._bases(wanted)
        brought = self.brought.architectures
        for slot, entry in wanted.slots.items():
            path = f"architectures.{slot}" if spec.architectures else "architecture"
            if slot in asked and slot in brought:
                message = f"start_from brings a {brought[slot].name} for {slot}; there is no place for another"
                yield Finding(code="conflict", message=message, path=path, hint="Leave out one of the two.")
            elif slot not in asked and slot not in brought and not _may_bring(spec, slot, self.parent):
                fitting = [name for name in catalog.architectures if not catalog.unmet(wanted.owner, entry, name)]
                message = f"nothing says which backbone reads {slot}"
                hint = "Name an architecture, or in start_from a model that has one."
                yield Finding(code="missing", message=message, path=path, expected=", ".join(fitting), hint=hint)
        for slot, (path, name) in self._chosen(asked, brought).items():
            if slot in wanted.slots and name in catalog.architectures:
                reason = catalog.unmet(wanted.owner, wanted.slots[slot], name)
                if reason is not None:
                    yield Finding(code="does_not_fit", message=reason, path=path, found=name)
                yield from self._tuning(name)

    def _tuning(self, architecture: str) -> Iterator[Finding]:
        spec, tunings = self.spec, self.catalog.tunings
        if not isinstance(spec, Finetune) or spec.tuning.name not in tunings:
            return
        reason = tunings[spec.tuning.name].unfit.get(architecture)
        if reason is not None:
            fitting = [name for name, each in tunings.items() if architecture not in each.unfit]
            message = f"{spec.tuning.name} does not fit {architecture}: {reason}"
            found = spec.tuning.name
            yield Finding(code="does_not_fit", message=message, path="tuning", found=found, expected=_listed(fitting))

    def _bases(self, wanted: _Wanted) -> Iterator[Finding]:
        """Each model that was named for a slot has a backbone for it; one that was named for all, for one at least."""
        if not isinstance(self.spec.start_from, dict):
            brought = self.brought.architectures
            if brought and brought.keys().isdisjoint(wanted.slots):
                both = f"it reads {_listed(brought)}, {wanted.owner} reads {_listed(wanted.slots)}"
                message = f"nothing of {self.spec.start_from} can be kept: {both}"
                hint = "Name a model that reads the same, or leave start_from out."
                yield Finding(code="does_not_fit", message=message, path=START_FROM, hint=hint)
            return
        for slot in self.spec.start_from.keys() - wanted.slots.keys():
            yield unknown("slot", slot, wanted.slots, path=f"start_from.{slot}")
        for slot, manifest in self.parent.items() if isinstance(self.parent, Mapping) else ():
            if slot in wanted.slots and slot not in manifest.architectures:
                has = _listed(manifest.architectures)
                message = f"{self.spec.start_from[slot]} has no backbone for {slot}; it has {has}"
                yield Finding(code="missing", message=message, path=f"start_from.{slot}", expected=slot, found=has)

    def _base_path(self, slot: str) -> str:
        return f"start_from.{slot}" if isinstance(self.spec.start_from, dict) else "start_from"

    def _chosen(self, asked: Mapping[str, Choice], brought: Mapping[str, Choice]) -> Mapping[str, tuple[str, str]]:
        """Slot -> where it was chosen, and what."""
        path = "architectures.{}" if self.spec.architectures else "architecture"
        return {
            **{slot: (self._base_path(slot), choice.name) for slot, choice in brought.items()},
            **{slot: (path.format(slot), choice.name) for slot, choice in asked.items()},
        }

    def _encoders(self, wanted: _Wanted) -> Iterator[Finding]:
        brought = self.brought.encoders
        for slot, asked in self.spec.encoders.items():
            path = f"encoders.{slot}"
            if slot not in wanted.slots:
                yield unknown("slot", slot, wanted.slots, path=path)
            elif slot in brought:
                message = f"start_from brings its encoder for {slot}; it cannot be changed"
                yield Finding(code="conflict", message=message, path=path, hint="Leave it out.")
            else:
                schema = ENCODERS[wanted.slots[slot].encoder].config_type.model_json_schema()
                # What is not asked is learned from the data.
                yield from _options({**schema, "required": []}, asked, path=path)
        for slot, choice in brought.items():
            if slot not in wanted.slots:
                continue
            needed = wanted.slots[slot].encoder
            if choice.name != needed:
                message = f"{wanted.owner} reads {slot} with the encoder {needed}; start_from has {choice.name}"
                yield Finding(code="does_not_fit", message=message, path=self._base_path(slot))
            elif self.dataset is not None:
                encoder = ENCODERS[needed]
                loss = encoder.loses(encoder.config_type.model_validate(choice.config), self.dataset)
                if loss is not None:
                    hint = "Start from a base model that was trained on such data, or from scratch."
                    path = self._base_path(slot)
                    yield Finding(code="does_not_fit", message=f"start_from {loss}", path=path, hint=hint)

    def _models(self, wanted: _Wanted) -> Iterator[Finding]:
        """A model to learn a task from answers that task, with the same labels."""
        objective = self.catalog.objectives[self.spec.objective.name]
        if objective.needs_choices and wanted.head and not self.catalog.heads[wanted.head].chooses:
            message = f"{objective.name} needs a task whose answers are choices; {wanted.owner} makes none"
            yield Finding(code="does_not_fit", message=message, path="objective", found=objective.name)
        for path, manifest in self.models.items():
            if wanted.task is None:
                continue
            answers = manifest.task.name if manifest.task else None
            classes = self.dataset.classes if self.dataset is not None else None
            if answers != wanted.task.name:
                message = f"the model named answers {answers or 'embeddings only'}, not {wanted.task.name}"
                yield Finding(code="does_not_fit", message=message, path=path, expected=wanted.task.name, found=answers)
            elif manifest.labels is not None and classes is not None and manifest.labels != classes:
                message = "the model named tells other labels apart than the dataset has, or in another order"
                shown = [_shortened(_listed(labels)) for labels in (classes, manifest.labels)]
                yield Finding(code="does_not_fit", message=message, path=path, expected=shown[0], found=shown[1])

    def _monitor(self, wanted: _Wanted) -> Iterator[Finding]:
        stopping = self.spec.schedule.early_stopping
        known = ["train/loss", "validation/loss", *(f"validation/{name}" for name in wanted.scores)]
        if stopping is not None and stopping.monitor not in known:
            yield unknown("monitored number", stopping.monitor, known, path="schedule.early_stopping.monitor")

    def _data(self, wanted: _Wanted) -> Iterator[Finding]:
        if self.dataset is None:
            return
        reasons = TASKS[wanted.task.name].refuse(self.dataset) if wanted.task else self._missing_columns(wanted)
        for reason in reasons:
            yield Finding(code="unfit_dataset", message=reason, path="dataset", found=self.spec.dataset)

    def _missing_columns(self, wanted: _Wanted) -> Iterator[str]:
        assert self.dataset is not None, "asked only with one"
        for column, kind in self.catalog.objectives[wanted.owner].columns.items():
            if self.dataset.columns.get(column) != kind:
                has = ", ".join(self.dataset.columns) or "none"
                yield f"{wanted.owner} needs a column {column!r} of kind {kind}; the dataset has {has}"
        yield from too_few(self.dataset)


def _by_slot(spec: Pretrain | Finetune, slots: Mapping[str, SlotEntry], parent: Parents) -> dict[str, Choice]:
    """What was asked for; and where nothing was, and no base model brings anything, the usual."""
    asked = dict.fromkeys(slots, spec.architecture) if spec.architecture is not None else {}
    brought = _Brought.of(parent).architectures
    usual = {
        slot: Choice(name=entry.usual, config={"preset": entry.usual_preset} if entry.usual_preset else {})
        for slot, entry in slots.items()
        if entry.usual is not None and slot not in brought and not _may_bring(spec, slot, parent)
    }
    return {**usual, **asked, **spec.architectures}


def _may_bring(spec: Pretrain | Finetune, slot: str, parent: Parents) -> bool:
    """Whether a model was named for this slot: one of which nothing is known yet, or which turns out not to have it."""
    start_from = spec.start_from
    return slot in start_from if isinstance(start_from, dict) else start_from is not None and parent is None


def _choice(kind: str, choice: Choice, known: Mapping[str, Entry], *, path: str) -> Iterator[Finding]:
    if choice.name not in known:
        yield unknown(kind, choice.name, known, path=path)
    else:
        yield from _options(known[choice.name].config_schema, choice.config, path=f"{path}.config")


def _options(schema: Mapping[str, Any], config: Mapping[str, Any], *, path: str) -> Iterator[Finding]:
    # A tenth of a second that only a process that checks need spend.
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema).iter_errors(config):
        place = ".".join((path, *(str(part) for part in error.absolute_path)))
        if error.validator == "additionalProperties":
            options = error.schema.get("properties", {})
            for name in error.instance.keys() - options.keys():
                yield unknown("option", name, options, path=f"{place}.{name}")
        elif error.validator == "enum" and isinstance(error.instance, str):
            yield unknown(place.rpartition(".")[2], error.instance, error.validator_value, path=place)
        else:
            yield Finding(code="invalid_option", message=_shortened(error.message), path=place)


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:140]} ... {message[-140:]}"


def _filled(choice: Choice, entry: Entry) -> Choice:
    options = entry.config_schema.get("properties", {})
    defaults = {name: option["default"] for name, option in options.items() if "default" in option}
    return Choice(name=choice.name, config={**defaults, **choice.config})


def _filled_architecture(choice: Choice, catalog: Catalog) -> Choice:
    presets = catalog.architectures[choice.name].presets
    asked = dict(choice.config)
    preset = presets[asked.pop("preset", next(iter(presets)))]
    return Choice(name=choice.name, config={**preset.config, **asked})


def _filled_schedule(asked: Schedule, recipes: Iterable[Schedule]) -> Schedule:
    named = asked.model_dump(exclude_none=True)
    filled = dict(named)
    for recipe in chain(recipes, [DEFAULTS]):
        offered = recipe.model_dump(exclude_none=True)
        for choice, dependent in DEPENDENT.items():
            if filled.get(choice, offered.get(choice)) != offered.get(choice):
                offered = {name: value for name, value in offered.items() if name not in dependent}
        filled = {**offered, **filled}
    for name, mended_by in FOR_FEW_ROWS.items():
        if name in named and mended_by not in named:
            del filled[mended_by]
    return Schedule.model_validate({**OPTIMIZERS[filled["optimizer"]].model_dump(exclude_none=True), **filled})


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
