"""The same graphs made faster, and which may be served: judged on the user's own rows, timed on this machine."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.encoders.base import take
from ml.errors import PackageError
from ml.inference.batch_planning import lengths_of
from ml.inference.onnx_session import OnnxGraphs, Session
from ml.learning.export.quantization import CANDIDATES, QuantizationFailed, write
from ml.package.manifest import Graph, Parity, Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.learning.export.quantization import QuantizationCandidate
    from ml.metrics.base import Evaluation
    from ml.signals import Arrays, Run
    from ml.tasks.base import Task

logger = logging.getLogger(__name__)

SMALLEST_BYTES: Final = 1 << 20
"""Graphs that are smaller together wait for memory no longer than for a call; there is nothing to win."""
LARGEST_SHARE: Final = 0.8
"""Of their bytes; where more is left, little was there to be quantised."""
LEAST_GAIN: Final = 1.2
"""Calls a processor second, against those of the graph it would replace."""
MOST_ROWS: Final = 512
AT_ONCE: Final = 16
ASKED_ALONE: Final = 64
CALLS_SEEN: Final = 8
"""Of each graph, for what needs to know how large values become."""
SEEN_EVERY: Final = 4
"""So that they come from all of the rows, which are sorted by length."""
MOST_APART: Final = 0.02
"""Of the largest output, what an answer may change by with the rows beside it."""
METRIC_TOLERANCE: Final = 1e-3
"""Of a metric's value so much may change, whatever noise is."""
GROUPS: Final = 10
"""Of rows, each of which is left out once to see how much a metric depends on them."""


@dataclass(frozen=True, slots=True)
class _Judged:
    evaluation: Evaluation
    outputs: dict[str, Column]
    seconds: float


def with_variants(graphs: Mapping[str, Graph], folder: Path, *, task: Task, rows: Rows) -> dict[str, Graph]:
    """The graphs with what came of their faster twins; the fastest that keeps the metric lies in `folder`, too.

    Graphs that are small, or do not shrink, are left as they are, and so is the head behind a trunk.
    """
    paths = {name: folder / graph.files[0] for name, graph in graphs.items()}
    if _bytes(paths) < SMALLEST_BYTES:
        return dict(graphs)
    columns = _by_length(_first(task.encode(rows[:MOST_ROWS]), MOST_ROWS))
    if _count(columns) < 2:
        return dict(graphs)
    heads = {name: [folder / each for each in graph.files[1:]] for name, graph in graphs.items()}
    seen: dict[str, list[Arrays]] = {name: [] for name in graphs}
    before = _judged(task, _noted(_run(paths, heads), seen), columns)
    if before is None:
        return dict(graphs)

    def tried(candidate: QuantizationCandidate, into: Path) -> Variant | None:
        twins = _twins(graphs, candidate.name, into)
        for name, path in paths.items():
            write(candidate, path, twins[name], [_read_by(path, batch) for batch in seen[name]])
        if _bytes(twins) > LARGEST_SHARE * _bytes(paths):
            return None
        after = _judged(task, _run(twins, heads), columns, at_once=1 if candidate.alone else AT_ONCE)
        if after is None:
            return None
        apart = 0.0 if candidate.alone else _apart(task, _run(twins, heads), columns, after)
        return _verdict(task, candidate, columns, before, after, apart=apart)

    found = []
    with tempfile.TemporaryDirectory(prefix=".variants-", dir=folder) as scratch:
        for candidate in _candidates(graphs, task):
            try:
                found.append(tried(candidate, Path(scratch)))
            except (QuantizationFailed, PackageError) as error:
                # What could not be written, or not be opened, is done without; all else is a fault of ours.
                logger.warning("the graph stays as it is: %s", error)
        ranked = sorted((each for each in found if each), key=lambda each: (each.served, each.speedup), reverse=True)
        if ranked and ranked[0].served:
            for twin in _twins(graphs, ranked[0].name, Path(scratch)).values():
                twin.rename(folder / twin.name)
    return _told(graphs, ranked) if ranked else dict(graphs)


def _candidates(graphs: Mapping[str, Graph], task: Task) -> Sequence[QuantizationCandidate]:
    """One way alone for all that share a trunk: whichever is faster today, they would no longer share a file."""
    if any(graph.trunk for graph in graphs.values()):
        return CANDIDATES[:1]
    # Who answers in a loop joins the rows of many callers in each step.
    return [each for each in CANDIDATES if not each.alone or (len(graphs) == 1 and not task.streams)]


def _told(graphs: Mapping[str, Graph], ranked: Sequence[Variant]) -> dict[str, Graph]:
    """The graphs with the first of the variants and the others."""
    first, *others = ranked
    lost = [each.model_copy(update={"served": False, "reason": _slower(each)}) for each in others]
    files = {name: twin.name if first.served else None for name, twin in _twins(graphs, first.name, Path()).items()}
    changes = {name: {"variant": first.model_copy(update={"file": file})} for name, file in files.items()}
    return {name: graph.model_copy(update={**changes[name], "other_variants": lost}) for name, graph in graphs.items()}


def _slower(one: Variant) -> str:
    return f"{one.reason}; another is faster" if one.served else one.reason


def _twins(graphs: Mapping[str, Graph], candidate: str, folder: Path) -> dict[str, Path]:
    return {name: folder / f"{Path(graph.files[0]).stem}.{candidate}.onnx" for name, graph in graphs.items()}


def _first(columns: dict[str, Column], most: int) -> dict[str, Column]:
    """A text is many rows, where it is cut into windows."""
    return take(columns, np.arange(min(most, _count(columns))))


def _count(columns: dict[str, Column]) -> int:
    return len(next(iter(columns.values())))


def _by_length(columns: dict[str, Column]) -> dict[str, Column]:
    """As they are served: rows of about one length together."""
    lengths = lengths_of(columns)
    return columns if lengths is None else take(columns, np.argsort(lengths, kind="stable"))


def _noted(run: Run, seen: Mapping[str, list[Arrays]]) -> Run:
    """The same, and `seen` has some of the calls, short rows and long ones."""
    calls = dict.fromkeys(seen, 0)

    def noted(graph: str, batch: Arrays) -> Arrays:
        calls[graph] += 1
        if calls[graph] % SEEN_EVERY == 1 and len(seen[graph]) < CALLS_SEEN:
            seen[graph].append(batch)
        return run(graph, batch)

    return noted


def _read_by(path: Path, batch: Arrays) -> Arrays:
    return {name: batch[name] for name in Session(path).inputs}


def _run(firsts: Mapping[str, Path], heads: Mapping[str, list[Path]]) -> Run:
    return OnnxGraphs({name: [Session(each) for each in (path, *heads[name])] for name, path in firsts.items()})


def _bytes(paths: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in paths.values())


def _judged(task: Task, run: Run, columns: dict[str, Column], *, at_once: int = AT_ONCE) -> _Judged | None:
    """None where what the graphs answer is not what the task is judged by, or is asked what no training row says."""
    rows = _count(columns)
    found: dict[str, list[Any]] = {}
    seconds = 0.0
    for start in range(0, rows, at_once):
        batch = task.collate(take(columns, np.arange(start, min(rows, start + at_once))))
        began = time.process_time()
        try:
            answer = task.answer_rows(run, batch)
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


def _apart(task: Task, run: Run, columns: dict[str, Column], together: _Judged) -> float:
    """The largest difference between answers that rows get alone and among others."""
    rows = min(ASKED_ALONE, _count(columns))
    alone = _judged(task, run, take(columns, np.arange(rows)), at_once=1)
    if alone is None:
        return math.inf
    first = {name: each[:rows] for name, each in together.outputs.items()}
    return _parity(first, alone.outputs, rows=rows).max_abs_difference


def _verdict(
    task: Task,
    candidate: QuantizationCandidate,
    columns: dict[str, Column],
    before: _Judged,
    after: _Judged,
    *,
    apart: float,
) -> Variant:
    rows = _count(before.outputs)
    metric = next(iter(before.evaluation.metrics))
    was, now = before.evaluation.metrics[metric], after.evaluation.metrics[metric]
    parity = _parity(before.outputs, after.outputs, rows=rows)
    gain = before.seconds / max(after.seconds, 1e-9)
    worse = was - now if task.metrics[metric].higher_is_better else now - was
    served = False
    if gain < LEAST_GAIN:
        reason = f"{gain:.2f} times the speed is not worth it"
    elif apart > MOST_APART * max(1.0, parity.max_abs_output or 0):
        reason = f"an answer would change by {apart:.2g} with the rows that are asked beside it"
    elif worse > METRIC_TOLERANCE * abs(was) and worse > (allowed := _noise(task, metric, columns, before, after)):
        reason = f"{metric} on {rows} validation rows goes from {was:.4f} to {now:.4f}; noise allows {allowed:.4f}"
    else:
        served = True
        reason = f"{gain:.2f} times the speed, and {metric} stays within noise on {rows} validation rows"
    return Variant(
        name=candidate.name,
        parity=parity,
        metric=metric,
        before=was,
        after=now,
        speedup=gain,
        served=served,
        reason=reason,
        single_row=candidate.alone,
        batch_difference=apart,
    )


def _noise(task: Task, metric: str, columns: dict[str, Column], before: _Judged, after: _Judged) -> float:
    """The standard error of the difference. Of a share of rows it is known from those that changed (McNemar 1947); else
    it is found by leaving out groups of them (delete-a-group jackknife, Kott 2001), and is 0 where there is none."""
    rows = _count(columns)
    changed = _parity(before.outputs, after.outputs, rows=rows).labels_changed
    if metric in before.evaluation.intervals and changed is not None:
        return math.sqrt(changed) / rows
    group = np.arange(rows) % min(GROUPS, rows)
    without = []
    for left_out in range(min(GROUPS, rows)):
        kept = np.flatnonzero(group != left_out)
        values = [
            task.evaluate(take(each.outputs, kept), take(columns, kept), train=None).metrics.get(metric, math.nan)
            for each in (before, after)
        ]
        without.append(values[0] - values[1])
    error = math.sqrt(np.var(without) * (len(without) - 1))
    return error if math.isfinite(error) else 0.0


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
    return Parity(rows=rows, max_abs_difference=worst, labels_changed=changed, max_abs_output=largest)
