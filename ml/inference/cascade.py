"""Early exits: a row leaves at the smallest size that is sure of it.

The sizes run one after another, each on the rows that are left, so batches shrink (Wang et al. 2017, IDK cascades,
arXiv:1706.00885). Each size starts anew from the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.signals import Arrays, Run

LOGITS: Final = "logits"


@dataclass(frozen=True, slots=True)
class Stage:
    """One size of a model, and how sure it must be."""

    run: Run
    #: Divides its logits, so that confidences of all sizes mean the same.
    temperature: float
    #: Smallest probability of the likeliest class with which a row leaves; None for the last size, where all do.
    threshold: float | None


class Cascade:
    """Sizes of a model as one `Run`, the smallest first.

    Its logits are divided by the temperatures.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages

    @property
    def whole(self) -> Run:
        """The last size alone."""
        return self.stages[-1].run

    def __call__(self, graph: str, batch: Arrays) -> Arrays:
        """Run each size on the rows that no smaller one was sure of."""
        count = len(next(iter(batch.values())))
        remaining = np.arange(count)
        outputs: Arrays = {}
        for stage in self.stages:
            left = batch if len(remaining) == count else {name: array[remaining] for name, array in batch.items()}
            answer = dict(stage.run(graph, left))
            answer[LOGITS] = answer[LOGITS] / np.float32(stage.temperature)
            leaves = is_sure(answer[LOGITS], stage.threshold)
            for name, values in answer.items():
                if name not in outputs:
                    outputs[name] = np.empty((count, *values.shape[1:]), values.dtype)
                outputs[name][remaining[leaves]] = values[leaves]
            remaining = remaining[~leaves]
            if not len(remaining):
                break
        return outputs


def is_sure(logits: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return which rows leave, bool [N], by calibrated logits float [N, K]."""
    return np.ones(len(logits), bool) if threshold is None else confidence(logits) >= threshold


def confidence(logits: np.ndarray) -> np.ndarray:
    """Return the probability of the likeliest class, float [N]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return 1 / np.exp(shifted).sum(axis=1)  # type: ignore[no-any-return]  # numpy's operators
