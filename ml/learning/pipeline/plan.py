"""What a spec comes to once its data and its base model are at hand: encoders, task, and the network to be trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml.config import Choice
from ml.data.rows import JoinedRows
from ml.encoders import ENCODERS
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.heads import HEADS
from ml.learning.nn.network import Network, build
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.unlabeled import Unlabeled
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Encoder
    from ml.learning.pipeline.base_models import BaseModels
    from ml.package.package import ModelPackage
    from ml.signals import Feature
    from ml.spec.schema import Spec
    from ml.tasks.base import Task


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything but weights. `reader` turns rows into batches: the task, or where there is none, plain signals."""

    encoders: dict[str, Encoder[Any]]
    task: Task | None
    reader: Task | Unlabeled
    objective: Choice
    architectures: dict[str, Choice]
    head: Choice | None

    def network(self) -> Network:
        """With fresh weights, of the seed that torch was given."""
        shapes = {slot: self.encoders[slot].shape() for slot in self.architectures}
        network = build(self.architectures, shapes=shapes, head=self.head)
        if self.task is not None:
            self.task.note_widths(network.widths)
        return network

    def strip_training_only(self, network: Network) -> TrainingPlan:
        """Take from a trained network what exists only while training; the lesson whose network is built without."""
        changes = network.strip_training_only()
        architectures = {
            slot: Choice(name=choice.name, config={**choice.config, **changes[slot]})
            for slot, choice in self.architectures.items()
        }
        return replace(self, architectures=architectures)


def make_plan(
    spec: Spec, summary: DatasetSummary, rows: Rows, bases: BaseModels, models: Iterable[ModelPackage] = ()
) -> TrainingPlan:
    """Learn encoders and labels from the training rows; base models bring their encoders and architectures along.

    Where there is none, `models`, which the objective learns from, bring their encoders: both then read the same.
    The spec is a resolved one: names are known, what it asks fits together, and every option is filled.
    """
    objective = spec.objective
    kind = OBJECTIVES[objective.name]
    task_type = TASKS[spec.task.name] if spec.task else None
    reads = task_type.reads if task_type else {slot: slot for slot in kind.slots}
    chosen = task_type.encoders if task_type else kind.encoders
    usual = (task_type or kind).encoder_options(summary)
    known: dict[str, Encoder[Any]] = {}
    for package in models:
        known |= package.encoders()
    known |= bases.encoders()
    config = task_type.config_type.model_validate(spec.task.config) if task_type and spec.task else None
    shared = task_type.shared_encoders(config) if task_type else {}
    encoders = {}
    for name in (name for name in reads if name not in shared):
        columns = [rows.columns[reads[each]] for each in (name, *shared) if each == name or shared[each] == name]
        values = columns[0] if len(columns) == 1 else JoinedRows(columns)
        asked = {**usual.get(name, {}), **spec.encoders.get(name, {})}
        encoders[name] = known.get(name) or ENCODERS[chosen[name]].learn(values, asked)
    encoders |= {name: encoders[owner] for name, owner in shared.items()}
    slots = task_type.slots if task_type else kind.slots
    available = {**bases.architectures(), **spec.architectures}
    architectures = {slot: _adapted(available[slot], each.needs) for slot, each in slots.items()}
    if task_type is None or spec.task is None:
        head = Choice(name=kind.head, config=HEADS[kind.head].config_type().model_dump()) if kind.head else None
        return TrainingPlan(encoders, None, Unlabeled(encoders, packs=kind.packs), objective, architectures, head)

    task = task_type(config, encoders, task_type.learn(config, summary, rows))
    head_config = HEADS[task.head].config_type.model_validate(task.head_config())
    head = Choice(name=task.head, config=head_config.model_dump(mode="json"))
    return TrainingPlan(encoders, task, task, objective, architectures, head)


def _adapted(choice: Choice, needs: frozenset[Feature]) -> Choice:
    """The architecture with all of its options, settled for what a slot needs."""
    architecture = ARCHITECTURES[choice.name]
    config = architecture.adapt_config(architecture.configure(choice.config), needs)
    return Choice(name=choice.name, config=config.model_dump(mode="json"))
