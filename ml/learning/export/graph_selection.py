"""Choice of quantized graphs, by metrics on the user's rows and measured time."""

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
from ml.learning.export.differences import largest_difference, largest_value
from ml.learning.export.quantization import CANDIDATES, QuantizationFailed, write
from ml.package.manifest import Graph, Parity, Variant
from ml.tasks.base import StreamingTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.learning.export.quantization import QuantizationCandidate
    from ml.metrics.base import Evaluation
    from ml.signals import Arrays, Run
    from ml.tasks.base import Task

logger = logging.getLogger(__name__)

#: Bytes of all graphs. For smaller ones, memory access takes no longer than a call, and quantization gains nothing.
MIN_BYTES: Final = 1 << 20
#: Size of variants as a fraction of the graphs'. Above it, few of the weights can be quantized.
MAX_SIZE_FRACTION: Final = 0.8
#: Calls per processor second, as a multiple of those of the original graph.
MIN_SPEEDUP: Final = 1.2
MAX_ROWS: Final = 512
BATCH_ROWS: Final = 16
#: Rows that are also run alone, to compare with their outputs in a batch.
SINGLE_ROWS: Final = 64
#: Sampled calls of each graph, for candidates that need the ranges of values.
MAX_SAMPLED_CALLS: Final = 8
#: Sample one of this number of calls, so that the samples come from all rows, which are sorted by length.
SAMPLE_EVERY: Final = 4
#: Change of an output by other rows of its batch, as a fraction of the largest output.
MAX_BATCH_DIFFERENCE: Final = 0.02
#: Accepted loss of a metric as a fraction of its value, whatever the noise.
METRIC_TOLERANCE: Final = 1e-3
#: Groups of rows, each left out once to estimate the noise of a metric.
JACKKNIFE_GROUPS: Final = 10


@dataclass(frozen=True, slots=True)
class _Measurement:
    evaluation: Evaluation
    outputs: dict[str, Column]
    seconds: float


def add_variants(graphs: Mapping[str, Graph], folder: Path, *, task: Task, rows: Rows) -> dict[str, Graph]:
    """Try all quantization candidates; the fastest that keeps the metric is moved to `folder`.

    Returns the graphs with the results of the trials. Graphs that are small or do not shrink stay as they are, and so
    does the head behind a trunk.
    """
    paths = {name: folder / graph.files[0] for name, graph in graphs.items()}
    if _total_bytes(paths) < MIN_BYTES:
        return dict(graphs)
    columns = _sort_by_length(_take_first(task.encode(rows[:MAX_ROWS]), MAX_ROWS))
    if _count_rows(columns) < 2:
        return dict(graphs)
    heads = {name: [folder / file for file in graph.files[1:]] for name, graph in graphs.items()}
    samples: dict[str, list[Arrays]] = {name: [] for name in graphs}
    before = _measure(task, _sample_calls(_make_run(paths, heads), samples), columns)
    if before is None:
        return dict(graphs)

    def try_candidate(candidate: QuantizationCandidate, scratch: Path) -> Variant | None:
        variant_paths = _variant_paths(graphs, candidate.name, scratch)
        for name, path in paths.items():
            write(candidate, path, variant_paths[name], [_select_inputs(path, batch) for batch in samples[name]])
        if _total_bytes(variant_paths) > MAX_SIZE_FRACTION * _total_bytes(paths):
            return None
        run = _make_run(variant_paths, heads)
        after = _measure(task, run, columns, batch_rows=1 if candidate.single_row else BATCH_ROWS)
        if after is None:
            return None
        difference = 0.0 if candidate.single_row else _batch_difference(task, run, columns, after)
        return _compare(task, candidate, columns, before, after, batch_difference=difference)

    variants = []
    with tempfile.TemporaryDirectory(prefix=".variants-", dir=folder) as scratch:
        for candidate in _select_candidates(graphs, task):
            try:
                variants.append(try_candidate(candidate, Path(scratch)))
            except (QuantizationFailed, PackageError) as error:
                # A graph that cannot be written or opened is not needed; any other error is a bug.
                logger.warning("the graph is not quantized: %s", error)
        ranked = sorted(filter(None, variants), key=lambda variant: (variant.served, variant.speedup), reverse=True)
        if ranked and ranked[0].served:
            for path in _variant_paths(graphs, ranked[0].name, Path(scratch)).values():
                path.rename(folder / path.name)
    return _attach(graphs, ranked) if ranked else dict(graphs)


def _select_candidates(graphs: Mapping[str, Graph], task: Task) -> Sequence[QuantizationCandidate]:
    """Return the candidates to try; graphs with a trunk have one only.

    If the fastest were chosen for each model, models with one trunk would no longer share its file.
    """
    if any(graph.trunk for graph in graphs.values()):
        return CANDIDATES[:1]
    # A generation loop joins the rows of several requests in each step.
    allows_single_rows = len(graphs) == 1 and not isinstance(task, StreamingTask)
    return [candidate for candidate in CANDIDATES if allows_single_rows or not candidate.single_row]


def _attach(graphs: Mapping[str, Graph], ranked: Sequence[Variant]) -> dict[str, Graph]:
    """Return the graphs with the first variant and the others."""
    first, *others = ranked
    rejected = [
        variant.model_copy(update={"served": False, "reason": _rejection_reason(variant)}) for variant in others
    ]
    paths = _variant_paths(graphs, first.name, Path())
    variants = {
        name: first.model_copy(update={"file": path.name if first.served else None}) for name, path in paths.items()
    }
    return {
        name: graph.model_copy(update={"variant": variants[name], "other_variants": rejected})
        for name, graph in graphs.items()
    }


def _rejection_reason(variant: Variant) -> str:
    return f"{variant.reason}; another is faster" if variant.served else variant.reason


def _variant_paths(graphs: Mapping[str, Graph], candidate: str, folder: Path) -> dict[str, Path]:
    return {name: folder / f"{Path(graph.files[0]).stem}.{candidate}.onnx" for name, graph in graphs.items()}


def _take_first(columns: dict[str, Column], count: int) -> dict[str, Column]:
    """Return the first encoded rows; a text that is cut into windows has several."""
    return take(columns, np.arange(min(count, _count_rows(columns))))


def _count_rows(columns: dict[str, Column]) -> int:
    return len(next(iter(columns.values())))


def _sort_by_length(columns: dict[str, Column]) -> dict[str, Column]:
    """Sort rows by length: rows of similar length are served together."""
    lengths = lengths_of(columns)
    return columns if lengths is None else take(columns, np.argsort(lengths, kind="stable"))


def _sample_calls(run: Run, samples: Mapping[str, list[Arrays]]) -> Run:
    """Return `run`, extended to append some of its calls to `samples`."""
    calls = dict.fromkeys(samples, 0)

    def run_and_sample(graph: str, batch: Arrays) -> Arrays:
        calls[graph] += 1
        if calls[graph] % SAMPLE_EVERY == 1 and len(samples[graph]) < MAX_SAMPLED_CALLS:
            samples[graph].append(batch)
        return run(graph, batch)

    return run_and_sample


def _select_inputs(path: Path, batch: Arrays) -> Arrays:
    return {name: batch[name] for name in Session(path).inputs}


def _make_run(first_files: Mapping[str, Path], heads: Mapping[str, list[Path]]) -> Run:
    return OnnxGraphs({name: [Session(file) for file in (path, *heads[name])] for name, path in first_files.items()})


def _total_bytes(paths: Mapping[str, Path]) -> int:
    return sum(path.stat().st_size for path in paths.values())


def _measure(task: Task, run: Run, columns: dict[str, Column], *, batch_rows: int = BATCH_ROWS) -> _Measurement | None:
    """Evaluate the task and measure processor time.

    Returns None if the task is not evaluated by the outputs of the graphs, or needs inputs that no training row has.
    """
    rows = _count_rows(columns)
    collected: dict[str, list[Any]] = {}
    seconds = 0.0
    for start in range(0, rows, batch_rows):
        batch = task.collate(take(columns, np.arange(start, min(rows, start + batch_rows))))
        began = time.process_time()
        try:
            answer = task.predict_with_targets(run, batch)
            seconds += time.process_time() - began
            results = task.collect(answer, batch, lambda answer=answer: answer)  # type: ignore[misc]  # bound on purpose
        except KeyError:
            return None
        for name, values in results.items():
            collected.setdefault(name, []).extend(values)
    outputs = {name: _stack(values) for name, values in collected.items()}
    try:
        return _Measurement(task.evaluate(outputs, columns, train=None), outputs, seconds)
    except KeyError:
        return None


def _stack(rows: list[np.ndarray]) -> Column:
    return np.stack(rows) if len({np.shape(row) for row in rows}) == 1 else rows


def _batch_difference(task: Task, run: Run, columns: dict[str, Column], batched: _Measurement) -> float:
    """Return the largest difference between outputs of rows alone and in a batch."""
    rows = min(SINGLE_ROWS, _count_rows(columns))
    single = _measure(task, run, take(columns, np.arange(rows)), batch_rows=1)
    if single is None:
        return math.inf
    batched_outputs = {name: column[:rows] for name, column in batched.outputs.items()}
    return _measure_parity(batched_outputs, single.outputs, rows=rows).max_abs_difference


def _compare(
    task: Task,
    candidate: QuantizationCandidate,
    columns: dict[str, Column],
    before: _Measurement,
    after: _Measurement,
    *,
    batch_difference: float,
) -> Variant:
    """Describe a variant and decide whether it may be served."""
    rows = _count_rows(before.outputs)
    metric = next(iter(before.evaluation.metrics))
    old, new = before.evaluation.metrics[metric], after.evaluation.metrics[metric]
    parity = _measure_parity(before.outputs, after.outputs, rows=rows)
    speedup = before.seconds / max(after.seconds, 1e-9)
    loss = old - new if task.metrics[metric].higher_is_better else new - old
    is_served = False
    if speedup < MIN_SPEEDUP:
        reason = f"{speedup:.2f} times the speed is below the minimum of {MIN_SPEEDUP}"
    elif batch_difference > MAX_BATCH_DIFFERENCE * max(1.0, parity.max_abs_output or 0):
        reason = f"outputs change by {batch_difference:.2g} with the other rows of their batch"
    elif loss > METRIC_TOLERANCE * abs(old) and loss > (noise := _estimate_noise(task, metric, columns, before, after)):
        reason = f"{metric} on {rows} validation rows goes from {old:.4f} to {new:.4f}; noise allows {noise:.4f}"
    else:
        is_served = True
        reason = f"{speedup:.2f} times the speed, and {metric} stays within noise on {rows} validation rows"
    return Variant(
        name=candidate.name,
        parity=parity,
        metric=metric,
        before=old,
        after=new,
        speedup=speedup,
        served=is_served,
        reason=reason,
        single_row=candidate.single_row,
        batch_difference=batch_difference,
    )


def _estimate_noise(
    task: Task, metric: str, columns: dict[str, Column], before: _Measurement, after: _Measurement
) -> float:
    """Estimate the standard error of the difference of a metric.

    It is 0 if it cannot be estimated. For a fraction of rows it follows from the rows that changed (McNemar 1947), for
    others from leaving out groups of rows (delete-a-group jackknife, Kott 2001).
    """
    rows = _count_rows(columns)
    changed = _measure_parity(before.outputs, after.outputs, rows=rows).labels_changed
    if metric in before.evaluation.intervals and changed is not None:
        return math.sqrt(changed) / rows
    groups = np.arange(rows) % min(JACKKNIFE_GROUPS, rows)
    differences = []
    for group in range(min(JACKKNIFE_GROUPS, rows)):
        selection = np.flatnonzero(groups != group)
        values = [
            task.evaluate(take(measurement.outputs, selection), take(columns, selection), train=None).metrics.get(
                metric, math.nan
            )
            for measurement in (before, after)
        ]
        differences.append(values[0] - values[1])
    error = math.sqrt(np.var(differences) * (len(differences) - 1))
    return error if math.isfinite(error) else 0.0


def _measure_parity(before: Mapping[str, Column], after: Mapping[str, Column], *, rows: int) -> Parity:
    """Compare the outputs of two graphs.

    Raises `QuantizationFailed` if a value is finite in one of them alone.
    """
    max_difference = max_output = 0.0
    for name, column in before.items():
        for old, new in zip(column, after[name], strict=True):
            if np.shape(old) == np.shape(new):
                max_difference = max(max_difference, largest_difference(np.asarray(new), np.asarray(old)))
            max_output = max(max_output, largest_value(np.asarray(old)))
    if math.isinf(max_difference):
        raise QuantizationFailed("an output is not finite where that of the exact graph is, or the reverse")
    changed = None
    if "logits" in before:
        pairs = zip(before["logits"], after["logits"], strict=True)
        changed = sum(int(np.argmax(old) != np.argmax(new)) for old, new in pairs)
    return Parity(rows=rows, max_abs_difference=max_difference, labels_changed=changed, max_abs_output=max_output)
