"""Judges default recipes on small datasets that they were not made for.

There are at least four datasets of each modality, with about 1,000 training rows at most. It trains with nothing set
but the task, in this build and in an earlier one (`--before`, a checkout), and fits a simple model of scikit-learn to
the same rows. A result is appended to `--results` as it comes, and what is there is not measured again. `--set` names
changes to the recipe; the best on the rest of a modality is judged on the dataset left out (leave-one-out).

    git worktree add ../before 09025f1
    python -m benchmarks.tasks.recipes --before ../before --results recipes.jsonl
    python -m benchmarks.tasks.recipes --results recipes.jsonl --modalities image \\
        --set light='{"task": {"augmentation": "light"}}' long='{"schedule": {"epochs": 40}}'
    python -m benchmarks.tasks.recipes --results recipes.jsonl --show --record
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.record import figure, parse_args
from benchmarks.tasks.recipes import baselines, histories, images, sounds, tables, texts
from benchmarks.tasks.recipes.builds import TrainingProcess, training_processes
from benchmarks.tasks.recipes.case import Case
from benchmarks.tasks.recipes.results import (
    BASELINE,
    BEFORE,
    DEFAULT,
    NOW,
    Result,
    Results,
    bootstrap,
    by_modality,
    geometric_mean,
    leave_one_out,
    mean_error,
    ratio,
)
from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

CASES: Final[Mapping[str, Case]] = {
    **images.CASES,
    **texts.CASES,
    **sounds.CASES,
    **tables.CASES,
    **histories.CASES,
}
MODALITIES: Final = tuple(dict.fromkeys(case.modality for case in CASES.values()))
AIM: Final = "<= 0.7"

#: Case, build, name of the setting, seed.
Job = tuple[str, str, str, int]


def main() -> None:
    """Measure what is missing, and print tables."""
    parser = _parser()
    arguments = parse_args(parser)
    settings = {name: json.loads(text) for name, _, text in (item.partition("=") for item in arguments.set)}
    results = Results(arguments.results)
    cases = [
        name
        for name, case in CASES.items()
        if case.modality in arguments.modalities and (not arguments.cases or name in arguments.cases)
    ]
    if not arguments.show:
        if not arguments.data.exists():
            sys.exit(f"skipped: there is no {arguments.data}; name the folder of the shared datasets with --data")
        measure(results, cases, settings, arguments)
    show(results, [name for name in cases if results.of(name, NOW) or results.of(name, BEFORE)])
    for modality, own in by_modality(results, [name for name in cases if name in results.cases()]).items():
        show_settings(results, modality, own)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED_DATA, help="folder of the shared datasets")
    parser.add_argument("--results", type=Path, default=Path("recipes.jsonl"), help="file of the results")
    parser.add_argument("--before", type=Path, help="checkout of the build before")
    parser.add_argument("--builds", nargs="+", choices=(BASELINE, BEFORE, NOW), default=[BASELINE, BEFORE, NOW])
    parser.add_argument("--modalities", nargs="+", choices=MODALITIES, default=list(MODALITIES))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=JSON", help="changes to the recipe to compare")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    return parser


def measure(results: Results, cases: list[str], settings: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Train and fit what has no result yet."""
    with training_processes(arguments.before) as processes:
        for name, build, label, seed in _jobs(cases, settings, arguments):
            if build not in arguments.builds or results.has(name, build, label, seed):
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    files = CASES[name].write(Path(folder), arguments.data)
                    if build == BASELINE:
                        measured = [_fit(name, files, Path(folder))]
                    else:
                        measured = _train(processes[build], name, files, build, label, settings.get(label, {}), seed)
                except OSError as error:
                    print(f"{name}, {build}, {label}: {error}", file=sys.stderr, flush=True)
                    continue
            for result in measured:
                if not results.has(result.case, result.build, result.setting, result.seed):
                    results.add(result)
                    print(f"{result.case:<22} {result.build:<9} {result.setting:<12} {result.error:.3f}", flush=True)


def _jobs(cases: list[str], settings: Mapping[str, Any], arguments: argparse.Namespace) -> Iterator[Job]:
    for name, seed in itertools.product(cases, arguments.seeds):
        if not CASES[name].reports_simple_model:
            yield name, BASELINE, DEFAULT, 0
        if arguments.before:
            yield name, BEFORE, DEFAULT, seed
        yield from ((name, NOW, label, seed) for label in [DEFAULT, *settings])


def _fit(name: str, files: list[Path], folder: Path) -> Result:
    case = CASES[name]
    imported = import_dataset(files, folder / "dataset", task=case.task, tasks=dict(TASKS), **case.options)
    if imported.state != "ready":
        raise OSError(f"the data was rejected: {imported.errors}")
    dataset = Dataset.open(folder / "dataset")
    score = baselines.fit(dataset, case.task)
    return _simple(name, case.error({case.metric: score}), dataset.summary.splits["test"])


def _train(
    process: TrainingProcess,
    name: str,
    files: list[Path],
    build: str,
    label: str,
    setting: Mapping[str, Any],
    seed: int,
) -> list[Result]:
    case = CASES[name]
    request = {"files": [str(path) for path in files], "task": case.task, "options": case.options}
    answer = process.train({**request, "setting": setting, "seed": seed})
    pair = answer["intervals"].get(case.metric)
    interval = sorted(case.error({case.metric: value}) for value in pair) if pair else None
    result = Result(
        case=name,
        modality=case.modality,
        build=build,
        setting=label,
        seed=seed,
        error=case.error(answer["metrics"]),
        interval=(round(interval[0], 9), round(interval[1], 9)) if interval else None,
        test_rows=answer["rows"],
        steps=answer["training"]["steps"],
        epochs=answer["training"]["epochs"],
        cpu_seconds=round(answer["cpu_seconds"], 1),
        commit=process.commit,
    )
    if not case.reports_simple_model:
        return [result]
    return [result, _simple(name, case.error(answer["simple"]), result.test_rows)]


def _simple(name: str, error: float, rows: int) -> Result:
    modality = CASES[name].modality
    return Result(case=name, modality=modality, build=BASELINE, setting=DEFAULT, seed=0, error=error, test_rows=rows)


def show(results: Results, cases: list[str]) -> None:
    """Print errors by case, and geometric means of ratios by modality."""
    print(f"{'case':<22} {'baseline':>8} {'before':>8} {'now':>8} {'95 %':>16} {'ratio':>6} {'steps':>6} {'CPU s':>6}")
    ratios: dict[str, float] = {}
    for name in cases:
        baseline, before, now = (results.of(name, build) for build in (BASELINE, BEFORE, NOW))
        cells = [f"{mean_error(rows):.3f}" if rows else "-" for rows in (baseline, before, now)]
        spread = next((f"{row.interval[0]:.3f} to {row.interval[1]:.3f}" for row in now if row.interval), "")
        if before and now:
            ratios[name] = ratio(now, before)
        change = f"{ratios[name]:.2f}" if name in ratios else "-"
        course = f"{now[0].steps:>6} {now[0].cpu_seconds:>6.0f}" if now else ""
        print(f"{name:<22} {cells[0]:>8} {cells[1]:>8} {cells[2]:>8} {spread:>16} {change:>6} {course}")
        _record(name, baseline, before, now)
    for modality, own in {**by_modality(results, ratios), "all": list(ratios)}.items():
        values = [ratios[name] for name in own]
        if values:
            low, high = bootstrap(values)
            title = f"{modality}: errors now by errors before, geometric mean of {len(own)} datasets"
            print(f"{title}: {geometric_mean(values):.3f} ({low:.3f} to {high:.3f})")
            figure(title, geometric_mean(values), unit="x", interval=(low, high), aim=AIM)


def _record(name: str, baseline: list[Result], before: list[Result], now: list[Result]) -> None:
    """Store the errors of this build, or else of the build before."""
    rows = now or before
    builds = (("simple model", baseline), ("before", before if now else []))
    parts = [f"{label} {mean_error(measured):.3f}" for label, measured in builds if measured]
    figure(
        f"{rows[0].modality}, {name}: errors",
        [row.error for row in rows],
        unit="",
        aim=f"<= {mean_error(baseline):.3f}" if baseline else "",
        interval=rows[0].interval,
        note="; ".join([*parts, f"{rows[0].steps:,} steps, {rows[0].cpu_seconds:.0f} CPU s at {rows[0].commit}"]),
    )


def show_settings(results: Results, modality: str, cases: list[str]) -> None:
    """Print the ratio of each setting to the default by case, and what leave-one-out chooses."""
    settings = dict.fromkeys(row.setting for row in results.rows if row.modality == modality and row.build == NOW)
    ratios = {
        setting: {name: ratio(results.of(name, NOW, setting), results.of(name, NOW)) for name in cases}
        for setting in settings
        if all(results.of(name, NOW, setting) and results.of(name, NOW) for name in cases)
    }
    if len(ratios) < 2 or len(cases) < 2:
        return
    print(f"\n{modality}: errors by those of the default; the last column is chosen on the other datasets")
    print(f"{'case':<22} " + " ".join(f"{setting:>12}" for setting in ratios))
    chosen = leave_one_out(ratios)
    for name in cases:
        print(f"{name:<22} " + " ".join(f"{row[name]:>12.2f}" for row in ratios.values()) + f"  {chosen[name][0]}")
    print(f"{'geometric mean':<22} " + " ".join(f"{geometric_mean([*row.values()]):>12.2f}" for row in ratios.values()))
    held_out = geometric_mean([value for _, value in chosen.values()])
    print(f"chosen on the others, judged on the one left out: {held_out:.3f}")
    figure(
        f"{modality}: errors of the setting chosen on the other datasets, by those of the default", held_out, unit="x"
    )


if __name__ == "__main__":
    main()
