"""Rows of a split, with everything that an evaluation knows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml.encoders.base import take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import numpy as np

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation
    from ml.signals import Run
    from ml.tasks.base import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedRows:
    """Rows with their encoded columns, the outputs of the model, and their evaluation."""

    task: Task
    #: Runs the graphs of the package.
    run: Run
    summary: DatasetSummary
    rows: Rows
    #: Columns that nothing is learned from -> their cells, [N].
    unread_cells: Mapping[str, Sequence[str | None]]
    #: What `Task.encode` returned for the rows.
    columns: dict[str, Column]
    #: What `Task.collect` returned for the rows.
    outputs: dict[str, Column]
    evaluation: Evaluation
    #: Predicts other rows of the same columns, and evaluates them.
    predict: Callable[[Rows], Evaluation]
    #: Whether the request asks for the section `robustness`.
    wants_robustness: bool = False
    #: Attacks rows by gradients, and returns the results by radius; None where that is not possible.
    attack: Callable[[Rows], Mapping[str, Any]] | None = None

    @property
    def has_one_output_per_row(self) -> bool:
        """False where a row has several windows, or two rows are one comparison."""
        counts = {len(column) for column in (*self.columns.values(), *self.outputs.values())}
        return counts == {len(self.rows)}

    def evaluate(self, indices: np.ndarray) -> Evaluation:
        """Evaluate some of the rows, int [n], alone; requires `has_one_output_per_row`."""
        return self.task.evaluate(take(self.outputs, indices), take(self.columns, indices), train=None)
