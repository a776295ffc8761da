"""The registries written down: `python -m tools.build_catalog` prints what `ml/spec/catalog.json` holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

from ml.data.formats import FORMATS
from ml.learning.interchange.families import FAMILIES
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.heads import HEADS
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.attacks import ATTACKS
from ml.learning.training.perturbation import DEFAULTS
from ml.learning.training.tuning import TUNINGS
from ml.schedule import Schedule
from ml.search.strategies import STRATEGIES
from ml.spec.catalog import (
    ArchitectureEntry,
    AttackEntry,
    Catalog,
    FormatEntry,
    HeadEntry,
    MetricEntry,
    ObjectiveEntry,
    Preset,
    SlotEntry,
    StrategyEntry,
    TaskEntry,
    TuningEntry,
)
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Backbone
    from ml.learning.nn.heads.base import Head
    from ml.learning.nn.objectives.base import Objective
    from ml.learning.training.attacks.base import Attack
    from ml.learning.training.tuning.base import Tuning
    from ml.search.strategies.base import Strategy
    from ml.signals import Slot
    from ml.tasks.base import Task


def catalog() -> Catalog:
    """Every registry by name."""
    return Catalog(
        tasks={name: _task(task) for name, task in TASKS.items()},
        architectures={name: _architecture(architecture) for name, architecture in ARCHITECTURES.items()},
        objectives={name: _objective(objective) for name, objective in OBJECTIVES.items()},
        tunings={name: _tuning(tuning) for name, tuning in TUNINGS.items()},
        attacks={name: _attack(attack) for name, attack in ATTACKS.items()},
        strategies={name: StrategyEntry(**_describe(strategy)) for name, strategy in STRATEGIES.items()},
        heads={name: _head(head) for name, head in HEADS.items()},
        formats=_formats(),
    )


def _architecture(architecture: type[Backbone]) -> ArchitectureEntry:
    schema = architecture.config_type.model_json_schema()
    names = list(architecture.presets)
    preset = {"enum": names, "default": names[0], "type": "string", "description": "A size with a name"}
    return ArchitectureEntry(
        name=architecture.name,
        summary=architecture.summary,
        source=architecture.source,
        config_schema={**schema, "properties": {"preset": preset, **schema["properties"]}},
        accepts=sorted(architecture.accepts),
        provides=sorted(architecture.provides),
        presets={name: _preset(architecture, name) for name in names},
        recipe=architecture.recipe,
        signal_recipes=dict(architecture.signal_recipes),
        base_recipe=architecture.base_recipe,
        growable={name: dict(needs) for name, needs in architecture.growable.items()},
        prunable=list(architecture.prunable),
        body_options=list(architecture.body_options),
        exports=["huggingface"] if architecture.name in FAMILIES else [],
    )


def _preset(architecture: type[Backbone], name: str) -> Preset:
    config = architecture.configure({"preset": name})
    with torch.device("meta"):  # counted without being filled: the largest have hundreds of millions
        backbone = architecture(config, shape=architecture.preset_shapes.get(name, architecture.usual_shape))
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return Preset(
        parameters=parameters,
        config=config.model_dump(mode="json"),
        default_from_rows=architecture.preset_rows.get(name),
        recipe=architecture.preset_recipes.get(name, Schedule()),
    )


def _task(task: type[Task]) -> TaskEntry:
    example_input, example_output = task.example()
    return TaskEntry(
        name=task.name,
        summary=task.summary,
        config_schema=task.config_type.model_json_schema(),
        slots=_slots(task.slots, task.encoders),
        head=task.head,
        columns=dict(task.columns),
        optional_columns=dict(task.optional_columns),
        formats=[
            name
            for name, entry in _formats().items()
            if {**task.columns, **task.optional_columns}.items() <= entry.columns.items()
        ],
        input_schema=task.input_type.model_json_schema(),
        output_schema=task.output_type.model_json_schema(),
        example_input=example_input.model_dump(mode="json", exclude_none=True),
        example_output=example_output.model_dump(mode="json", exclude_none=True),
        metrics={
            name: MetricEntry(summary=metric.summary, higher_is_better=metric.higher_is_better)
            for name, metric in task.metrics.items()
        },
        recipe=task.recipe,
    )


def _objective(objective: type[Objective]) -> ObjectiveEntry:
    return ObjectiveEntry(
        **_describe(objective),
        slots=_slots(objective.slots, objective.encoders),
        columns=dict(objective.columns),
        needs_labels=not objective.slots,
        head=objective.head,
        scores=list(objective.scores),
        recipe=objective.recipe,
        needs_choices=objective.needs_choices,
    )


def _tuning(tuning: type[Tuning]) -> TuningEntry:
    reasons = {name: tuning.missing_requirement(_tiny(architecture)) for name, architecture in ARCHITECTURES.items()}
    unfit = {name: reason for name, reason in reasons.items() if reason is not None}
    return TuningEntry(
        **_describe(tuning), needs_base=tuning.needs_base, unfit=unfit, min_learning_rate=tuning.min_learning_rate
    )


def _attack(attack: type[Attack]) -> AttackEntry:
    return AttackEntry(**_describe(attack), signals=sorted(DEFAULTS))


def _tiny(architecture: type[Backbone]) -> Backbone:
    with torch.device("meta"):
        return architecture(architecture.tiny(), shape=architecture.usual_shape)


def _head(head: type[Head]) -> HeadEntry:
    return HeadEntry(
        name=head.name,
        summary=head.summary,
        config_schema=head.config_type.model_json_schema(),
        needs=sorted(head.needs),
        outputs=list(head.outputs),
        scores=list(head.scores),
        chooses=head.chooses,
    )


def _slots(slots: Mapping[str, Slot], encoders: Mapping[str, str]) -> dict[str, SlotEntry]:
    return {
        name: SlotEntry(
            reads=sorted(slot.reads),
            needs=sorted(slot.needs),
            encoder=encoders[name],
            default_architecture=slot.default_architecture,
            default_preset=slot.default_preset,
        )
        for name, slot in slots.items()
    }


def _describe(plugin: type[Objective] | type[Tuning] | type[Attack] | type[Strategy]) -> dict[str, Any]:
    schema = plugin.config_type.model_json_schema()
    return {"name": plugin.name, "summary": plugin.summary, "source": plugin.source, "config_schema": schema}


def _formats() -> dict[str, FormatEntry]:
    return {
        name: FormatEntry(
            name=name,
            summary=form.summary,
            columns=dict(form.columns),
            column_choices=list(form.column_choices),
        )
        for name, form in FORMATS.items()
    }


def main() -> None:
    """Print the catalog."""
    sys.stdout.write(catalog().text())


if __name__ == "__main__":
    main()
