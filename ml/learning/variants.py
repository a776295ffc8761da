"""The same graphs with weights in 8 bits, and whether they may be served: judged on the user's own rows."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.encoders.base import take
from ml.graph_file import lay_out
from ml.package import Graph, Parity, Variant
from ml.sessions import Graphs, Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.evaluation import Evaluation
    from ml.tasks.base import Run, Task

INT8: Final = "int8"
SMALLEST_BYTES: Final = 1 << 20
"""Graphs that are smaller together wait for memory no longer than for a call; there is nothing to win."""
LARGEST_SHARE: Final = 0.8
"""Of their bytes; where more is left, little was there to be quantised."""
LEAST_GAIN: Final = 1.2
"""Calls a processor second, against those of the graph it would replace."""
MOST_ROWS: Final = 512
AT_ONCE: Final = 16
OTHER_METRIC_TOLERANCE: Final = 1e-3
"""Of a metric that is no share of rows, so much of its value may change."""


@dataclass(frozen=True, slots=True)
class _Judged:
    evaluation: Evaluation
    outputs: dict[str, Column]
    seconds: float


def with_variants(graphs: Mapping[str, Graph], folder: Path, *, task: Task, rows: Rows) -> dict[str, Graph]:
    """The graphs with what came of their 8-bit twins, which lie in `folder` where they are to be served.

    Weights of matrix products become int8, activations are quantised as they come (dynamic quantisation): convolutions
    gain nothing by it and stay. Graphs that do not shrink are left as they are, and so is the head behind a trunk.
    """
    paths = {name: folder / graph.files[0] for name, graph in graphs.items()}
    twins = {name: path.with_suffix(f".{INT8}.onnx") for name, path in paths.items()}
    if sum(path.stat().st_size for path in paths.values()) < SMALLEST_BYTES or len(rows) < 2:
        return dict(graphs)
    _quantise(paths, twins)
    if _bytes(twins) > LARGEST_SHARE * _bytes(paths):
        return _dropped(graphs, twins)
    columns = task.encode(rows[:MOST_ROWS])
    heads = {name: [folder / each for each in graph.files[1:]] for name, graph in graphs.items()}
    before, after = (_judged(task, _run(firsts, heads), columns) for firsts in (paths, twins))
    if before is None or after is None:
        return _dropped(graphs, twins)
    verdict = _verdict(task, before, after, rows=len(rows[:MOST_ROWS]))
    if not verdict.served:
        for twin in twins.values():
            twin.unlink()
    found = {}
    for name, graph in graphs.items():
        file = twins[name].name if verdict.served else None
        found[name] = graph.model_copy(update={"variant": verdict.model_copy(update={"file": file})})
    return found


def _quantise(paths: Mapping[str, Path], twins: Mapping[str, Path]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # It advises to run another tool first, which does not pay for graphs of this make.
    logging.getLogger().addFilter(_quiet)
    try:
        for name, path in paths.items():
            quantize_dynamic(path, twins[name], weight_type=QuantType.QInt8, per_channel=True)
            lay_out(twins[name])
    finally:
        logging.getLogger().removeFilter(_quiet)


def _run(firsts: Mapping[str, Path], heads: Mapping[str, list[Path]]) -> Run:
    return Graphs({name: [Session(each) for each in (path, *heads[name])] for name, path in firsts.items()})


def _quiet(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()


def _bytes(paths: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in paths.values())


def _dropped(graphs: Mapping[str, Graph], twins: Mapping[str, Path]) -> dict[str, Graph]:
    for twin in twins.values():
        twin.unlink(missing_ok=True)
    return dict(graphs)


def _judged(task: Task, run: Run, columns: dict[str, Column]) -> _Judged | None:
    """None where what the graphs answer is not what the task is judged by, or is asked what no training row says."""
    rows = len(next(iter(columns.values())))
    found: dict[str, list[Any]] = {}
    seconds = 0.0
    for start in range(0, rows, AT_ONCE):
        batch = task.collate(take(columns, np.arange(start, min(rows, start + AT_ONCE))))
        began = time.process_time()
        try:
            answer = task.answer(run, batch)
            seconds += time.process_time() - began
            collected = task.collect(answer, batch, lambda answer=answer: answer)  # type: ignore[misc]  # bound on purpose
        except KeyError:
            return None
        for name, each in collected.items():
            found.setdefault(name, []).extend(each)
    outputs = {name: _stacked(each) for name, each in found.items()}
    try:
        return _Judged(task.evaluate(outputs, columns, train=None), outputs, seconds)
    except KeyError:
        return None


def _stacked(rows: list[np.ndarray]) -> Column:
    return np.stack(rows) if len({np.shape(row) for row in rows}) == 1 else rows


def _verdict(task: Task, before: _Judged, after: _Judged, *, rows: int) -> Variant:
    metric = next(iter(before.evaluation.metrics))
    was, now = before.evaluation.metrics[metric], after.evaluation.metrics[metric]
    parity = _parity(before.outputs, after.outputs, rows=rows)
    gain = before.seconds / max(after.seconds, 1e-9)
    worse = was - now if task.metrics[metric].higher_is_better else now - was
    allowed = _noise(was, parity, rows=rows, is_share=metric in before.evaluation.intervals)
    if worse > allowed:
        reason = f"{metric} on {rows} validation rows goes from {was:.4f} to {now:.4f}; noise allows {allowed:.4f}"
    elif gain < LEAST_GAIN:
        reason = f"{gain:.2f} times the speed is not worth it"
    else:
        reason = f"{gain:.2f} times the speed, and {metric} stays within noise on {rows} validation rows"
    served = worse <= allowed and gain >= LEAST_GAIN
    return Variant(
        name=INT8, parity=parity, metric=metric, before=was, after=now, speed=gain, served=served, reason=reason
    )


def _noise(value: float, parity: Parity, *, rows: int, is_share: bool) -> float:
    """A standard error of the difference. Of a share it is known from the rows that changed alone (McNemar 1947)."""
    if is_share and parity.labels_changed is not None:
        return math.sqrt(parity.labels_changed) / rows
    return OTHER_METRIC_TOLERANCE * abs(value)


def _parity(before: Mapping[str, Column], after: Mapping[str, Column], *, rows: int) -> Parity:
    worst = largest = 0.0
    for name, each in before.items():
        for one, other in zip(each, after[name], strict=True):
            if np.shape(one) == np.shape(other):
                worst = max(worst, float(np.abs(np.asarray(one) - other).max(initial=0)))
            largest = max(largest, float(np.abs(one).max(initial=0)))
    changed = None
    if "logits" in before:
        pairs = zip(before["logits"], after["logits"], strict=True)
        changed = sum(int(np.argmax(one) != np.argmax(other)) for one, other in pairs)
    return Parity(rows=rows, max_abs_difference=worst, labels_changed=changed, largest_output=largest)
