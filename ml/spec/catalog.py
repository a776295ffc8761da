"""The registries as data, for processes that check and show specs without torch.

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
    encoder: str = Field(description="Encoder that turns raw values into the signal.")
    default_architecture: str | None = Field(None, description="Architecture used when the spec names none.")
    default_preset: str | None = Field(None, description="Preset of the default architecture.")


class MetricEntry(Config):
    """Meaning of a metric of the report: over which rows, weighted how."""

    summary: str
    higher_is_better: bool


class CatalogEntry(Config):
    """Fields of every entry. `config_schema` is the JSON schema of its options, with their defaults."""

    name: str
    summary: str
    config_schema: JSONSchema = Field(default_factory=dict)


class TaskEntry(CatalogEntry):
    """Purpose of a model, with its input and output at `/predict`."""

    slots: dict[str, SlotEntry]
    head: str
    columns: dict[str, str] = Field(description="Columns that a dataset must have, with their types.")
    optional_columns: dict[str, str] = Field(
        default_factory=dict, description="Columns that are read if a dataset has them, with their types."
    )
    formats: list[str] = Field(description="Data formats that can contain these columns.")
    input_schema: JSONSchema
    output_schema: JSONSchema
    example_input: dict[str, Any]
    example_output: dict[str, Any]
    metrics: dict[str, MetricEntry]
    recipe: Schedule = Field(Schedule(), description="Default schedule; precedes the architecture's.")


class Preset(Config):
    """Named size of an architecture. `config` has every option filled."""

    parameters: int
    config: dict[str, Any]
    default_from_rows: int | None = Field(
        None, description="Training rows from which it is the default, if a spec sets no option of the architecture."
    )
    recipe: Schedule = Field(Schedule(), description="Fields of the architecture's default schedule that differ.")


class ArchitectureEntry(CatalogEntry):
    """Class of backbones."""

    source: str
    accepts: list[Signal]
    provides: list[Feature]
    presets: dict[str, Preset] = Field(
        description="Named sizes; the first is the default, except where another has `default_from_rows`. "
        "`config_schema` lists their names in the option `preset`."
    )
    recipe: Schedule = Field(description="Default schedule.")
    signal_recipes: dict[Signal, Schedule] = Field(
        default_factory=dict, description="Fields of the default schedule that differ for a signal."
    )
    base_recipe: Schedule = Field(
        Schedule(), description="Default schedule when training from a base model; precedes all other recipes."
    )
    exports: list[str] = Field(default_factory=list, description="Formats of other libraries it can be exported to.")
    growable: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Options that may be larger than those of a base model of the same architecture, with the values "
        "of other options that this needs.",
    )
    prunable: list[str] = Field(
        default_factory=list, description="Options that count units, which pruning can remove: channels, heads, ..."
    )
    body_options: list[str] = Field(
        default_factory=list,
        description="Options that define its body, which a base model of another signal can provide; empty if it has "
        "none.",
    )


class HeadEntry(CatalogEntry):
    """Head: turns features into outputs."""

    needs: list[Feature]
    outputs: list[str]
    scores: list[str] = Field(description="Metrics on the validation split besides the loss (`validation/accuracy`).")
    chooses: bool = Field(False, description="Whether it outputs a score for each of several classes.")


class ObjectiveEntry(CatalogEntry):
    """Training objective. One without slots of its own trains a task, and needs its labels."""

    source: str
    slots: dict[str, SlotEntry]
    columns: dict[str, str] = Field(
        description="Columns that a dataset must have, with their types; for one that trains a task, those of the task."
    )
    needs_labels: bool
    head: str | None = Field(description="Head trained with the backbone; a task with the same head can start from it.")
    scores: list[str] = Field(description="Metrics on the validation split besides the loss.")
    recipe: Schedule = Field(Schedule(), description="Default schedule; precedes the architecture's.")
    needs_choices: bool = Field(False, description="Trains only tasks that choose among classes.")


class TuningEntry(CatalogEntry):
    """Choice of the weights trained in fine-tuning."""

    source: str
    needs_base: bool = Field(description="Whether it requires a base model in `start_from`.")
    unfit: dict[str, str] = Field(default_factory=dict, description="Architectures it does not fit, with the reason.")
    min_learning_rate: float = Field(
        0.0, description="Learning rate used when the spec sets none and the recipes have a lower one."
    )


class AttackEntry(CatalogEntry):
    """Adversarial attack that a fine-tuning can train against."""

    source: str
    signals: list[Signal] = Field(description="Signals that it can perturb; a task needs one of them.")


class StrategyEntry(CatalogEntry):
    """Strategy that proposes the settings of a sweep's trials."""

    source: str


class FormatEntry(Config):
    """Format of data that can be uploaded."""

    name: str
    summary: str
    columns: dict[str, str] = Field(description="Columns it can contain, with their types.")
    column_choices: list[str] = Field([], description="Names that `columns` of an upload can give to its columns.")


#: Task or objective -> slot -> architecture -> reason why it does not fit; null if it does.
Reasons = dict[str, dict[str, dict[str, str | None]]]


class Fits(Config):
    """Fit of architectures and slots, computed from what each declares."""

    tasks: Reasons
    objectives: Reasons


class Catalog(Config):
    """All entries, by name."""

    tasks: dict[str, TaskEntry]
    architectures: dict[str, ArchitectureEntry]
    objectives: dict[str, ObjectiveEntry]
    tunings: dict[str, TuningEntry]
    attacks: dict[str, AttackEntry]
    strategies: dict[str, StrategyEntry]
    heads: dict[str, HeadEntry]
    formats: dict[str, FormatEntry]

    @classmethod
    def load(cls, path: Path = PATH) -> Self:
        """Load the file that `make catalog` wrote."""
        return cls.model_validate_json(path.read_bytes())

    def text(self) -> str:
        """Return the content of `catalog.json`."""
        return self.model_dump_json(indent=2, exclude={"fits"}) + "\n"

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def fits(self) -> Fits:
        """Compare every task and objective with every architecture."""
        return Fits(
            tasks={name: self._reasons(name, entry.slots) for name, entry in self.tasks.items()},
            objectives={name: self._reasons(name, entry.slots) for name, entry in self.objectives.items()},
        )

    def unmet(self, owner: str, entry: SlotEntry, architecture: str) -> str | None:
        """Return why an architecture does not fit this slot of `owner`; None if it fits."""
        backbone = self.architectures[architecture]
        slot = Slot(reads=frozenset(entry.reads), needs=frozenset(entry.needs))
        reason = slot.unmet(architecture, accepts=backbone.accepts, provides=backbone.provides)
        return f"{owner} {reason}" if reason else None

    def _reasons(self, owner: str, slots: dict[str, SlotEntry]) -> dict[str, dict[str, str | None]]:
        return {
            slot: {architecture: self.unmet(owner, entry, architecture) for architecture in self.architectures}
            for slot, entry in slots.items()
        }
