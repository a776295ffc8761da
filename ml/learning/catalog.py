"""The registries written down: `python -m ml.learning.catalog` prints what `ml/catalog.json` holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

from ml.catalog import (
    ArchitectureEntry,
    Catalog,
    FormatEntry,
    HeadEntry,
    MetricEntry,
    ObjectiveEntry,
    Preset,
    SlotEntry,
    TaskEntry,
    TuningEntry,
)
from ml.learning.architectures import ARCHITECTURES
from ml.learning.heads import HEADS
from ml.learning.objectives import OBJECTIVES
from ml.learning.tuning import TUNINGS
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.config import Config
    from ml.learning.architectures.base import Backbone
    from ml.learning.heads.base import Head
    from ml.learning.objectives.base import Objective
    from ml.learning.tuning.base import Tuning
    from ml.signals import Slot
    from ml.tasks.base import Task


def catalog() -> Catalog:
    """Every registry by name."""
    return Catalog(
        tasks={name: _task(task) for name, task in TASKS.items()},
        architectures={name: _architecture(architecture) for name, architecture in ARCHITECTURES.items()},
        objectives={name: _objective(objective) for name, objective in OBJECTIVES.items()},
        tunings={name: _tuning(tuning) for name, tuning in TUNINGS.items()},
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
    )


def _preset(architecture: type[Backbone], name: str) -> Preset:
    config = architecture.configure({"preset": name})
    with torch.device("meta"):  # counted without being filled: the largest have hundreds of millions
        backbone = architecture(config, shape=architecture.usual_shape)
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return Preset(parameters=parameters, config=config.model_dump(mode="json"))
