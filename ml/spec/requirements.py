"""Slots, head and scores that a spec needs, and the parts its base models bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ml.config import Choice
from ml.package.manifest import Manifest
from ml.spec.crossing import source_slot
from ml.spec.schema import Finetune, Pretrain
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.data.dataset import DatasetSummary
    from ml.spec.catalog import Catalog, SlotEntry

#: Manifest of the model in `start_from`, or of one model for each slot; None if there is none, or it is not known yet.
BaseManifests: TypeAlias = Manifest | Mapping[str, Manifest] | None


@dataclass(frozen=True, slots=True)
class Requirements:
    """Slots, head and scores of the task, or of an objective that has none."""

    #: Name of the task or objective.
    owner: str
    slots: Mapping[str, SlotEntry]
    head: str | None
    scores: Iterable[str]
    task: Choice | None

    @classmethod
    def of(cls, spec: Pretrain | Finetune, catalog: Catalog, dataset: DatasetSummary | None) -> Requirements | None:
        """Requirements of a spec; None if it names something unknown or lacks a task."""
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
        task_type = TASKS[choice.name]
        absent = task_type.slots.keys() - task_type.select_slots(choice.config, dataset).keys()
        slots = {name: entry for name, entry in task.slots.items() if name not in absent}
        return cls(choice.name, slots, task.head, scores, choice)


@dataclass(frozen=True, slots=True)
class BaseParts:
    """Architectures and encoders that `start_from` brings, by slot."""

    architectures: Mapping[str, Choice]
    encoders: Mapping[str, Choice]

    @classmethod
    def of(cls, base: BaseManifests) -> BaseParts:
        """Collect the parts of one model, or those of one slot of each model.

        A model named for a slot that it lacks brings the architecture of its only slot, whose body crosses.
        """
        if base is None:
            return cls({}, {})
        if not isinstance(base, Mapping):
            return cls(base.architectures, base.encoders)
        sources = {slot: source_slot(manifest, slot) for slot, manifest in base.items()}
        return cls(
            {slot: base[slot].architectures[source] for slot, source in sources.items() if source is not None},
            {slot: manifest.encoders[slot] for slot, manifest in base.items() if slot in manifest.encoders},
        )


def architectures_by_slot(
    spec: Pretrain | Finetune, slots: Mapping[str, SlotEntry], base: BaseManifests
) -> dict[str, Choice]:
    """Return the named architectures, and the defaults of slots that are still empty."""
    named = dict.fromkeys(slots, spec.architecture) if spec.architecture is not None else {}
    base_architectures = BaseParts.of(base).architectures
    defaults = {
        slot: Choice(
            name=entry.default_architecture, config={"preset": entry.default_preset} if entry.default_preset else {}
        )
        for slot, entry in slots.items()
        if entry.default_architecture is not None
        and slot not in base_architectures
        and not may_come_from_base(spec, slot, base)
    }
    return {**defaults, **named, **spec.architectures}


def may_come_from_base(spec: Pretrain | Finetune, slot: str, base: BaseManifests) -> bool:
    """Return whether the spec names a base model for this slot.

    The model may not be trained yet, or may turn out to lack the slot.
    """
    start_from = spec.start_from
    return slot in start_from if isinstance(start_from, dict) else start_from is not None and base is None
