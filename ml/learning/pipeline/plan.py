"""Training plans: encoders, task and network of a spec with data and base models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from ml.config import Choice
from ml.data.rows import JoinedRows, present_values
from ml.encoders import ENCODERS
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.heads import HEADS
from ml.learning.nn.network import Network, build
from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.unlabeled import Unlabeled
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Encoder
    from ml.learning.pipeline.base_models import BaseModels
    from ml.package.package import ModelPackage
    from ml.signals import Feature
    from ml.spec.schema import Spec
    from ml.tasks.base import BatchAdapter, Task


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that defines a training except data and weights."""

    encoders: dict[str, Encoder[Any]]
    task: Task | None
    #: Turns rows into batches: the task, or without one, plain signals.
    reader: BatchAdapter
    objective: Choice
    architectures: dict[str, Choice]
    head: Choice | None
    #: Tokens and mask of the texts of all items, int64 and bool [V, L]; None for a task without them.
    item_texts: tuple[np.ndarray, np.ndarray] | None = None

    def network(self) -> Network:
        """Build the network with new weights, from torch's random state."""
        shapes = {slot: self.encoders[slot].shape() for slot in self.architectures}
        network = build(self.architectures, shapes=shapes, head=self.head)
        self.set_items(network)
        if self.task is not None:
            self.task.bind_widths(network.widths)
        return network

    def set_items(self, network: Network) -> None:
        """Give a network the texts of the items, if the task has them."""
        if self.item_texts is not None:
            network.require_head().set_items(*map(torch.from_numpy, self.item_texts))

    def strip_training_only(self, network: Network) -> TrainingPlan:
        """Remove the parts of a trained network that only training needs.

        Returns the plan whose network is built without them.
        """
        changes = network.strip_training_only()
        architectures = {
            slot: Choice(name=choice.name, config={**choice.config, **changes[slot]})
            for slot, choice in self.architectures.items()
        }
        return replace(self, architectures=architectures)


def make_plan(
    spec: Spec, summary: DatasetSummary, rows: Rows, bases: BaseModels, models: Iterable[ModelPackage] = ()
) -> TrainingPlan:
    """Make the plan of a resolved spec.

    Encoders and labels are learned from the training rows. Base models provide their encoders and architectures.
    Without them, the `models` that the objective learns from provide their encoders, so that both networks read the
    same.
    """
    objective = spec.objective
    objective_type = OBJECTIVES[objective.name]
    task_type = TASKS[spec.task.name] if spec.task else None
    slots = objective_type.slots
    columns_by_name: Mapping[str, str] = {slot: slot for slot in slots}
    if task_type and spec.task:
        slots = task_type.select_slots(spec.task.config, summary)
        others = task_type.slots.keys() - slots.keys()
        columns_by_name = {name: column for name, column in task_type.encoded_columns.items() if name not in others}
    encoder_names = task_type.encoders if task_type else objective_type.encoders
    defaults = (task_type or objective_type).encoder_options(summary)
    existing: dict[str, Encoder[Any]] = {}
    for package in models:
        existing |= package.encoders()
    existing |= bases.encoders()
    config = task_type.config_type.model_validate(spec.task.config) if task_type and spec.task else None
    shared = task_type.shared_encoders(config) if task_type else {}
    encoders = {}
    for name in (name for name in columns_by_name if name not in shared):
        readers = [reader for reader in (name, *shared) if reader == name or shared[reader] == name]
        columns = [
            present_values(
                task_type.encoder_values(reader, rows) if task_type else rows.columns[columns_by_name[reader]]
            )
            for reader in readers
        ]
        values = columns[0] if len(columns) == 1 else JoinedRows(columns)
        options = {**defaults.get(name, {}), **spec.encoders.get(name, {})}
        encoders[name] = existing.get(name) or ENCODERS[encoder_names[name]].learn(values, options)
    encoders |= {name: encoders[owner] for name, owner in shared.items()}
    available = {**bases.architectures(), **spec.architectures}
    architectures = {name: _adapt(available[name], slot.needs) for name, slot in slots.items()}
    if task_type is None or spec.task is None:
        head_name = objective_type.head
        head = Choice(name=head_name, config=HEADS[head_name].config_type().model_dump()) if head_name else None
        reader = Unlabeled(encoders, packs=objective_type.packs)
        return TrainingPlan(encoders, None, reader, objective, architectures, head)

    task = task_type(config, encoders, task_type.learn(config, summary, rows))
    head_config = HEADS[task.head].config_type.model_validate(task.head_config())
    head = Choice(name=task.head, config=head_config.model_dump(mode="json"))
    return TrainingPlan(encoders, task, task, objective, architectures, head, task.item_texts(rows))


def _adapt(choice: Choice, needs: frozenset[Feature]) -> Choice:
    """Fill the options of an architecture and adapt them to the needs of a slot."""
    architecture = ARCHITECTURES[choice.name]
    config = architecture.adapt_config(architecture.configure(choice.config), needs)
    return Choice(name=choice.name, config=config.model_dump(mode="json"))
