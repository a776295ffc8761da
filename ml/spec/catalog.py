"""What can be trained, as data: the registries written down, so that a process without torch can check and show them.

`catalog.json` is generated (`make catalog`); its diff shows in review what a change exposes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, computed_field

from ml.config import Config
from ml.schedule import Schedule
from ml.signals import Feature, Signal, Slot

PATH = Path(__file__).with_name("catalog.json")

JSONSchema = dict[str, Any]


class SlotEntry(Config):
    """One input of a task or an objective."""

    reads: list[Signal]
    needs: list[Feature]
    encoder: str
    """What turns the raw values into the signal."""
    default_architecture: str | None = None
    """The architecture that reads it where none is asked for."""
    default_preset: str | None = None
    """Its size, by name."""


class MetricEntry(Config):
    """What a number of the report means: on which rows, weighted how."""

    summary: str
    higher_is_better: bool


class Entry(Config):
    """What every entry says. `config_schema` is a JSON schema of its options, with their defaults."""

    name: str
    summary: str
    config_schema: JSONSchema = Field(default_factory=dict)


class TaskEntry(Entry):
    """What a model can be for, and what goes in and comes out at `/predict`."""

    slots: dict[str, SlotEntry]
    head: str
    columns: dict[str, str]
    """What a dataset must have: canonical column -> kind of its values."""
    formats: list[str]
    """The data formats that can bring these columns."""
    input_schema: JSONSchema
    output_schema: JSONSchema
    example_input: dict[str, Any]
    example_output: dict[str, Any]
    metrics: dict[str, MetricEntry]
    recipe: Schedule = Schedule()
    """Goes before the architecture's."""


class Preset(Config):
    """A size with a name. `config` has every option filled."""

    parameters: int
    config: dict[str, Any]


class ArchitectureEntry(Entry):
    """A class of backbones."""

    source: str
    accepts: list[Signal]
    provides: list[Feature]
    presets: dict[str, Preset]
    """The first is the default. `config_schema` knows their names as the option `preset`."""
    recipe: Schedule
    """What is trained with where nothing else is asked."""
    base_recipe: Schedule = Schedule()
    """What goes before it, and before those of tasks and objectives, where the weights are those of a base model."""
    exports: list[str] = Field(default_factory=list)
    """The formats of other libraries that it can go out in."""


class HeadEntry(Entry):
    """What turns features into outputs."""

    needs: list[Feature]
    outputs: list[str]
    scores: list[str]
    """What is measured on the validation split beside the loss (`validation/accuracy`)."""
    chooses: bool = False
    """Whether its outputs are choices of one among several, each with a score."""


class ObjectiveEntry(Entry):
    """What one training step makes smaller. Without slots of its own it trains a task, and needs its labels."""

    source: str
    slots: dict[str, SlotEntry]
    columns: dict[str, str]
    """What a dataset must have; the task says where it trains one."""
    needs_labels: bool
    head: str | None
    """The head it trains along, for a task that has the same to start from."""
    scores: list[str]
    """What is measured on the validation split beside the loss."""
    recipe: Schedule = Schedule()
    """Goes before the architecture's."""
    needs_choices: bool = False
    """Trains only tasks whose answers are choices."""


class TuningEntry(Entry):
    """Which weights move in fine-tuning."""

    source: str
    needs_base: bool
    """Makes no sense from scratch."""
    unfit: dict[str, str] = Field(default_factory=dict)
    """Architecture -> why it cannot be tuned so."""
    min_learning_rate: float = 0.0
    """The learning rate where nobody asks for one and recipes have a lower one."""


class FormatEntry(Config):
    """A form of data that can be uploaded."""

    name: str
    summary: str
    columns: dict[str, str]
    """What it can bring: canonical column -> kind of its values."""


Reasons = dict[str, dict[str, dict[str, str | None]]]
"""Task or objective -> slot -> architecture -> why it does not fit; null where it does."""


class Fits(Config):
    """Which backbones can stand in which slot. Computed from what each declares, never listed by hand."""

    tasks: Reasons
    objectives: Reasons


class Catalog(Config):
    """Everything by name."""

    tasks: dict[str, TaskEntry]
    architectures: dict[str, ArchitectureEntry]
    objectives: dict[str, ObjectiveEntry]
    tunings: dict[str, TuningEntry]
    heads: dict[str, HeadEntry]
    formats: dict[str, FormatEntry]

    @classmethod
    def load(cls, path: Path = PATH) -> Self:
        """Read what `make catalog` wrote."""
        return cls.model_validate_json(path.read_bytes())

    def text(self) -> str:
        """The content of `catalog.json`."""
        return self.model_dump_json(indent=2, exclude={"fits"}) + "\n"

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def fits(self) -> Fits:
        """Every task and objective against every architecture."""
        return Fits(
            tasks={name: self._reasons(name, entry.slots) for name, entry in self.tasks.items()},
            objectives={name: self._reasons(name, entry.slots) for name, entry in self.objectives.items()},
        )

    def unmet(self, owner: str, entry: SlotEntry, architecture: str) -> str | None:
        """Why an architecture cannot stand in this slot of `owner`; None where it can."""
        backbone = self.architectures[architecture]
        slot = Slot(reads=frozenset(entry.reads), needs=frozenset(entry.needs))
        reason = slot.unmet(architecture, accepts=backbone.accepts, provides=backbone.provides)
        return f"{owner} {reason}" if reason else None

    def _reasons(self, owner: str, slots: dict[str, SlotEntry]) -> dict[str, dict[str, str | None]]:
        return {
            slot: {architecture: self.unmet(owner, entry, architecture) for architecture in self.architectures}
            for slot, entry in slots.items()
        }
