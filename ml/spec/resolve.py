"""Filling of the defaults of a spec, from base models, recipes and `DEFAULTS`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from ml.config import Choice
from ml.encoders import ENCODERS
from ml.schedule import Schedule
from ml.spec.growth import grow_choice
from ml.spec.requirements import BaseManifests, BaseParts, Requirements, architectures_by_slot
from ml.spec.schema import Finetune, Pretrain
from ml.spec.sizes import EXIT_SIZES
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.data.dataset import DatasetSummary
    from ml.spec.catalog import ArchitectureEntry, Catalog, CatalogEntry, SlotEntry

#: Encoder whose size is part of the plan.
IMAGE: Final = "image"
#: Schedule where neither the user nor a recipe sets a value. A field that stays absent is off.
DEFAULTS: Final = Schedule(
    epochs=10,
    min_steps=200,
    batch_size=128,
    min_batches_per_epoch=8,
    optimizer="adamw",
    decay="cosine",
    precision="auto",
)
#: Field of a recipe, sized for thousands of rows, and those that correct it for few rows. If the user names the first,
#: that very number holds, and the others apply only if they are named too.
SMALL_DATA_FIELDS: Final = {"epochs": ("min_steps", "max_steps"), "batch_size": ("min_batches_per_epoch",)}
OPTIMIZERS: Final[Mapping[str, Schedule]] = {
    "sgd": Schedule(learning_rate=0.05, momentum=0.9, nesterov=False, weight_decay=5e-4),
    "adam": Schedule(learning_rate=1e-3, weight_decay=0.0),
    "adamw": Schedule(learning_rate=1e-3, weight_decay=0.01),
    "muon": Schedule(learning_rate=1e-3, weight_decay=0.01),
}
#: Fields that a recipe sets for its own optimizer or decay only.
DEPENDENT_FIELDS: Final = {
    "optimizer": {"learning_rate", "momentum", "nesterov", "weight_decay"},
    "decay": {"warmup_fraction"},
}


def resolve(
    spec: Pretrain | Finetune, catalog: Catalog, dataset: DatasetSummary | None = None, base: BaseManifests = None
) -> Pretrain | Finetune:
    """Fill every default of a spec in which `check` has no finding.

    The order of precedence: the user's values, an architecture's recipe for training from a base model, the recipe of
    the objective or the task, those of preset, signal and architecture, `DEFAULTS`. A tuning raises a learning rate
    that comes from recipes to its own minimum. Resolving a resolved spec changes nothing.
    """
    requirements = Requirements.of(spec, catalog, dataset)
    assert requirements is not None, "the spec has been checked"
    slots = requirements.slots
    bases = BaseParts.of(base).architectures
    architectures = {
        slot: grow_choice(choice, bases[slot], catalog.architectures[choice.name])
        if slot in bases
        else _fill_architecture(choice, catalog, rows=dataset.splits.get("train", 0) if dataset else 0)
        for slot, choice in architectures_by_slot(spec, slots, base).items()
    }
    base_names = {slot: choice.name for slot, choice in bases.items()}
    recipes = [
        recipe
        for slot, choice in {**bases, **architectures}.items()
        if slot in slots
        for recipe in _recipes(catalog.architectures[choice.name], choice, slots[slot])
    ]
    changes: dict[str, Any] = {"architecture": None, "architectures": architectures}
    objective = catalog.objectives[spec.objective.name]
    recipes.insert(0, objective.recipe)
    changes["objective"] = fill(spec.objective, objective)
    tuning = catalog.tunings[spec.tuning.name] if isinstance(spec, Finetune) else None
    if isinstance(spec, Finetune) and tuning is not None:
        changes["tuning"] = fill(spec.tuning, tuning)
        changes["sizes"] = list(EXIT_SIZES) if spec.exits and spec.sizes is None else spec.sizes
    if spec.adversary is not None:
        changes["adversary"] = fill(spec.adversary, catalog.attacks[spec.adversary.name])
    if requirements.task is not None:
        changes["encoders"] = _fill_image_sizes(spec, requirements, dataset, base)
        task = catalog.tasks[requirements.task.name]
        recipes.insert(0, task.recipe)
        changes["task"] = fill(requirements.task, task)
    # A tuning that requires a base model keeps what the base has learned, whatever the number of steps.
    if tuning is None or not tuning.needs_base:
        base_recipes = [catalog.architectures[name].base_recipe for slot, name in base_names.items() if slot in slots]
        recipes = [*base_recipes, *recipes]
    schedule = _fill_schedule(spec.schedule, recipes)
    if spec.schedule.batch_size is None:
        schedule = schedule.lower_batch_size(spec.parts)
    if tuning is not None and spec.schedule.learning_rate is None:
        rate = max(schedule.learning_rate or 0.0, tuning.min_learning_rate)
        schedule = schedule.model_copy(update={"learning_rate": rate})
    if dataset is not None and spec.schedule.max_steps and spec.schedule.min_steps is None:
        schedule = _cut_at_budget(schedule, dataset.splits.get("train", 0), parts=spec.parts)
    changes["schedule"] = schedule
    return type(spec).model_validate({**dict(spec), **changes})


def fill(choice: Choice, entry: CatalogEntry) -> Choice:
    """Return a choice with the defaults of its options."""
    options = entry.config_schema.get("properties", {})
    defaults = {name: option["default"] for name, option in options.items() if "default" in option}
    return Choice(name=choice.name, config={**defaults, **choice.config})


def _fill_image_sizes(
    spec: Pretrain | Finetune, requirements: Requirements, dataset: DatasetSummary | None, base: BaseManifests
) -> dict[str, dict[str, Any]]:
    """Return the options of encoders, with the size of images.

    The size decides how long a training takes, so that a plan must show it.
    """
    encoders = dict(spec.encoders)
    if requirements.task is None or dataset is None:
        return encoders
    options = TASKS[requirements.task.name].encoder_options(dataset)
    for slot, entry in requirements.slots.items():
        if entry.encoder == IMAGE and options.get(slot) and slot not in BaseParts.of(base).encoders:
            encoders[slot] = {**options[slot], **encoders.get(slot, {})}
    return encoders


def _fill_architecture(choice: Choice, catalog: Catalog, *, rows: int) -> Choice:
    presets = catalog.architectures[choice.name].presets
    options = dict(choice.config)
    default = next(iter(presets))
    if not options:
        fitting = {name: preset.default_from_rows or 0 for name, preset in presets.items()}
        default = max((name for name, least in fitting.items() if least <= rows), key=fitting.__getitem__)
    preset = presets[options.pop("preset", default)]
    return Choice(name=choice.name, config={**preset.config, **options})


def _recipes(architecture: ArchitectureEntry, choice: Choice, slot: SlotEntry) -> list[Schedule]:
    """Return an architecture's recipes for a slot, the more specific first."""
    presets = [preset.recipe for preset in architecture.presets.values() if preset.config == choice.config]
    specific = architecture.signal_recipes.get(ENCODERS[slot.encoder].signal, Schedule())
    return [*presets, specific, architecture.recipe]


def _cut_at_budget(schedule: Schedule, rows: int, *, parts: int) -> Schedule:
    """Return the schedule cut at the steps that the user named."""
    epochs, size = schedule.fit_rows(rows, parts=parts)
    if epochs * max(1, rows // size) <= (schedule.max_steps or 0):
        return schedule
    return schedule.model_copy(update={"min_steps": schedule.max_steps})


def _fill_schedule(schedule: Schedule, recipes: Iterable[Schedule]) -> Schedule:
    named = schedule.model_dump(exclude_none=True)
    fields = dict(named)
    for recipe in chain(recipes, [DEFAULTS]):
        offer = recipe.model_dump(exclude_none=True)
        for choice, dependent in DEPENDENT_FIELDS.items():
            if fields.get(choice, offer.get(choice)) != offer.get(choice):
                offer = {name: value for name, value in offer.items() if name not in dependent}
        fields = {**offer, **fields}
    for name, corrections in SMALL_DATA_FIELDS.items():
        if name in named:
            fields = {field: value for field, value in fields.items() if field not in corrections or field in named}
    return Schedule.model_validate({**OPTIMIZERS[fields["optimizer"]].model_dump(exclude_none=True), **fields})
