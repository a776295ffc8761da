"""Evaluation of a package on a split, with the graphs that are served."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.encoders.base import take
from ml.errors import PackageError
from ml.evaluation.evaluated_rows import EvaluatedRows
from ml.evaluation.sections import SECTIONS
from ml.inference.predictor import Predictor
from ml.metrics.base import find_weaknesses
from ml.tasks.base import Task
from plinth.installation import install_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml.data.dataset import Dataset
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation
    from ml.package.package import ModelPackage
    from ml.signals import Arrays

#: Rows of one call.
BATCH_ROWS: Final = 64
#: Training rows from which the baseline is learned; of more, rows at equal distances are taken.
MAX_BASELINE_ROWS: Final = 10_000
#: Computes what only training needs, such as the loss of each token. Imported by name, as this half has no torch.
TORCH_ENGINE: Final = "ml.learning.export.torch_runner"
#: Computes gradients, for the section `robustness`.
ATTACK_ENGINE: Final = "ml.learning.pipeline.robustness"
_OWN_BASELINE: Final = "the dataset has no training rows: the baseline was learned from the evaluated rows"


def evaluate_package(
    package: ModelPackage,
    dataset: Dataset,
    *,
    split: str,
    robustness: bool = False,
    on_phase: Callable[[str], None] = lambda _: None,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return the report of a package on the rows of a split, as JSON.

    Args:
        package: A package with a task.
        dataset: A dataset with the columns of the task, and with labels that the model knows.
        split: Split with at least one row.
        robustness: Whether corrupted and attacked rows are evaluated, too.
        on_phase: Called when `predicting` and `measuring` begin.
        on_batch: Called after each batch; what it raises ends the evaluation.

    Raises:
        PackageError: The model cannot be evaluated by what is installed.
        DataError: The dataset is damaged, or has a label that the model does not know.
    """
    predictor = Predictor.load(package)
    task = package.task()
    if task is None:
        raise PackageError("a base model predicts nothing that could be evaluated", hint="Fine-tune it for a task.")
    rows = dataset.rows(split)
    on_phase("predicting")
    columns = task.encode(rows)
    engine, outputs = _collect_outputs(package, predictor, task, columns, on_batch)
    on_phase("measuring")
    train = _baseline_columns(task, dataset.rows("train"), columns)
    evaluation = task.evaluate(outputs, columns, train=train)
    if train is columns:
        evaluation.notes.append(_OWN_BASELINE)

    def predict(other_rows: Rows) -> Evaluation:
        other_columns = task.encode(other_rows)
        _, other_outputs = _collect_outputs(package, predictor, task, other_columns, on_batch)
        return task.evaluate(other_outputs, other_columns, train=None)

    evaluated = EvaluatedRows(
        task=task,
        run=predictor.run,
        summary=dataset.summary,
        rows=rows,
        unread_cells=dataset.unread_cells(split),
        columns=columns,
        outputs=outputs,
        evaluation=evaluation,
        predict=predict,
        wants_robustness=robustness,
        attack=_find_attack(package) if robustness else None,
    )
    sections = {name: section().measure(evaluated) for name, section in SECTIONS.items()}
    return {
        "task": task.name,
        "split": split,
        "rows": len(rows),
        "engine": engine,
        "metrics": evaluation.metrics,
        "baseline": evaluation.baseline,
        "intervals": evaluation.intervals,
        "warnings": find_weaknesses(evaluation, task.metrics, rows_name=f"{len(rows)} rows of {split}"),
        "notes": evaluation.notes,
        **evaluation.extra,
        **{name: content for name, content in sections.items() if content is not None},
    }


def _find_attack(package: ModelPackage) -> Callable[[Rows], Mapping[str, Any]] | None:
    """Return the function that attacks rows; None without torch, or for graphs alone."""
    if importlib.util.find_spec("torch") is None or package.has_graphs_only:
        return None
    attack: Callable[[Rows], Mapping[str, Any]] | None = importlib.import_module(ATTACK_ENGINE).find_attack(package)
    return attack


def _collect_outputs(
    package: ModelPackage, predictor: Predictor, task: Task, columns: dict[str, Column], on_batch: Callable[[], None]
) -> tuple[str, dict[str, Column]]:
    """Return the engine that computed the outputs, and the outputs.

    Graphs predict. What a task evaluates beyond predictions needs the network itself, and torch.
    """
    rows_alone = any(graph.is_served_row_by_row for graph in package.manifest.graphs.values())
    batch_rows = 1 if rows_alone else BATCH_ROWS
    run = predictor.run

    def collect(batch: Arrays) -> Arrays:
        answer = task.predict(run, batch)
        return task.collect(answer, batch, lambda: answer)

    # Another `predict_with_targets` says that predictions do not suffice.
    if type(task).predict_with_targets is Task.predict_with_targets:
        try:
            return predictor.engine, _run_batches(task, columns, collect, batch_rows, on_batch)
        except KeyError:  # an output that the graphs do not have
            pass
    if importlib.util.find_spec("torch") is None or package.has_graphs_only:
        message = f"{task.name} is evaluated by more than predictions, which needs the network and torch"
        raise PackageError(message, hint=f"Install it on the worker: {install_command('server')}")
    forward = importlib.import_module(TORCH_ENGINE).load_forward(package)

    def collect_forward(batch: Arrays) -> Arrays:
        return task.collect(forward(batch), batch, lambda: task.predict(run, batch))

    return "torch", _run_batches(task, columns, collect_forward, BATCH_ROWS, on_batch)


def _run_batches(
    task: Task,
    columns: dict[str, Column],
    collect: Callable[[Arrays], Arrays],
    batch_rows: int,
    on_batch: Callable[[], None],
) -> dict[str, Column]:
    count = len(next(iter(columns.values())))
    collected: dict[str, list[Any]] = {}
    for start in range(0, count, batch_rows):
        batch = task.collate(take(columns, np.arange(start, min(count, start + batch_rows))))
        for name, values in collect(batch).items():
            collected.setdefault(name, []).extend(values)
        on_batch()
    return {name: _stack(values) for name, values in collected.items()}


def _stack(rows: list[Any]) -> Column:
    return np.stack(rows) if len({np.shape(row) for row in rows}) == 1 else rows


def _baseline_columns(task: Task, train: Rows, columns: dict[str, Column]) -> dict[str, Column]:
    """Return the columns that the baseline learns from: of training, else the evaluated ones."""
    if not len(train):
        return columns
    step = max(1, -(-len(train) // MAX_BASELINE_ROWS))
    return task.encode(train[::step])
