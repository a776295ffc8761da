"""What a spec comes to once its data and its base model are at hand: encoders, task, and the network to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.encoders import ENCODERS
from ml.errors import DataError, SpecError
from ml.learning.architectures import ARCHITECTURES
from ml.learning.heads import HEADS
from ml.learning.network import Network, build
from ml.learning.objectives import OBJECTIVES
from ml.learning.unlabelled import Unlabelled
from ml.spec import Choice, Finetune
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Encoder
    from ml.package import ModelPackage
    from ml.spec import Spec
    from ml.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Lesson:
    """Everything but weights. `reader` turns rows into batches: the task, or where there is none, plain signals."""

    encoders: dict[str, Encoder[Any]]
    task: Task | None
    reader: Task | Unlabelled
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


def plan(spec: Spec, summary: DatasetSummary, rows: Rows, parent: ModelPackage | None) -> Lesson:
    """Learn encoders and labels from the training rows; a base model brings its encoders and architectures along."""
    objective = Choice(name="supervised") if isinstance(spec, Finetune) else spec.objective
    kind = OBJECTIVES[objective.name]
    asked = spec.task if isinstance(spec, Finetune) else _task_of(summary) if not kind.slots else None
    task_type = TASKS[asked.name] if asked else None
    reasons = task_type.refuse(summary) if task_type else _missing(kind.columns, summary)
    if reasons:
        raise DataError("; ".join(reasons))

    reads = task_type.reads if task_type else {slot: slot for slot in kind.slots}
    chosen = task_type.encoders if task_type else kind.encoders
    known = parent.encoders() if parent else {}
    encoders = {
        name: known.get(name) or ENCODERS[chosen[name]].learn(rows.columns[column], {})
        for name, column in reads.items()
    }
    slots = task_type.slots if task_type else kind.slots
    architectures = _filled(spec, tuple(slots), parent)
    if task_type is None or asked is None:
        head = Choice(name=kind.head, config=HEADS[kind.head].config_type().model_dump()) if kind.head else None
        return Lesson(encoders, None, Unlabelled(encoders), objective, architectures, head)

    config = task_type.config_type.model_validate(asked.config)
    task = task_type(config, encoders, task_type.learn(config, summary, rows))
    head_config = HEADS[task.head].config_type.model_validate(task.head_config())
    head = Choice(name=task.head, config=head_config.model_dump(mode="json"))
    return Lesson(encoders, task, task, objective, architectures, head)


def _filled(spec: Spec, slots: tuple[str, ...], parent: ModelPackage | None) -> dict[str, Choice]:
    asked = dict(spec.architectures) or ({slots[0]: spec.architecture} if spec.architecture else {})
    asked = {**(parent.manifest.architectures if parent else {}), **asked}
    if missing := [slot for slot in slots if slot not in asked]:
        raise SpecError(f"no architecture was named for {', '.join(missing)}", hint="Name one, or start from a model.")
    return {slot: _filled_choice(asked[slot]) for slot in slots}


def _filled_choice(choice: Choice) -> Choice:
    config = ARCHITECTURES[choice.name].configure(choice.config)
    return Choice(name=choice.name, config=config.model_dump(mode="json"))


def _task_of(summary: DatasetSummary) -> Choice:
    if summary.task is None:
        raise SpecError("learning from labels needs to know what the dataset is for", hint="Upload it with a `task`.")
    return Choice(name=summary.task)


def _missing(columns: Mapping[str, str], summary: DatasetSummary) -> list[str]:
    return [
        f"the objective reads a column {name!r} of kind {kind}, which the dataset does not have"
        for name, kind in columns.items()
        if summary.columns.get(name) != kind
    ]
