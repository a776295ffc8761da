"""Search with and without halving: cost, and the test metric of the best trial.

Both searches have the automatic space, TPE and one seed; the first trial of each is the default recipe. The cost is CPU
time from spec to the last validation, summed over the trials; the best trial is then tested once. The full search says
what the halved one may lose: its best should lie in the 95 % interval of the best of the full search.

    python -m benchmarks.tasks.search                          every case, 16 trials
    python -m benchmarks.tasks.search --cases digits --rows 100 --trials 8
    python -m benchmarks.tasks.search --cases spoken_digits --epochs 9
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.record import figure, parse_args
from benchmarks.tasks.few_rows import CASES
from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train, train_trial
from ml.schedule import is_higher_better
from ml.search.halving import Halving
from ml.search.resolve import resolve_sweep
from ml.search.schema import Sweep
from ml.search.space import apply_parameters, current_parameters
from ml.search.study import propose
from ml.search.trial import Outcome, Trial, best_trial
from ml.spec.catalog import Catalog
from ml.spec.resolve import resolve
from ml.spec.schema import Finetune
from ml.tasks import TASKS

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.learning.training.progress import Progress

#: Case of `few_rows` -> architecture and training rows.
USUAL: Final = {"digits": ("cnn", 300), "sentences": ("transformer", 500), "spoken_digits": ("audio_cnn", 300)}


class Pruned(Exception):
    """A trial is weak at a rung."""


@dataclass
class Search:
    """One search: the trials so far, and what they cost."""

    sweep: Sweep
    dataset: Path
    folder: Path
    trials: list[Trial] = field(default_factory=list)
    curves: list[list[float | None]] = field(default_factory=list)
    #: Validation losses of each trial: they decide between equal values, as in the service.
    losses: list[list[float | None]] = field(default_factory=list)
    cpu_seconds: float = 0.0

    @property
    def higher(self) -> bool:
        """Return whether the metric is better when higher."""
        return is_higher_better(self.sweep.metric or "")

    def run(self, number: int) -> None:
        """Propose, train and judge one trial."""
        job = self.sweep.job.model_dump(mode="json", exclude_unset=True)
        space, catalog, summary = self.sweep.space, Catalog.load(), Dataset.open(self.dataset).summary
        assert isinstance(space, dict)
        parameters: dict[str, Any] | None = None
        if number > 0:
            parameters = propose(
                self.sweep.strategy,
                space,
                self.trials,
                seed=self.sweep.seed,
                number=number,
                higher_is_better=self.higher,
            )
        spec = resolve_job(Finetune.model_validate(apply_parameters(job, parameters or {})), catalog, summary)
        if number == 0:
            parameters = current_parameters(space, job, spec.model_dump(mode="json", exclude_none=True))
        self.curves.append([])
        self.losses.append([])
        began, outcome, report = time.process_time(), Outcome.COMPLETE, None
        try:
            report = train_trial(
                spec,
                self.dataset,
                self._workdir(number),
                device="cpu",
                on_progress=lambda progress: self._watch(progress, spec.schedule.epochs or 1),
                should_stop=lambda: None,
            )
        except Pruned:
            outcome = Outcome.PRUNED
            shutil.rmtree(self._workdir(number))
        self.cpu_seconds += time.process_time() - began
        self.trials.append(
            Trial(
                number=number,
                outcome=outcome,
                parameters=parameters,
                value=self._final_value(self.curves[-1], report["training"]) if report is not None else None,
                loss=self._final_value(self.losses[-1], report["training"]) if report is not None else None,
                rungs=self._rungs(self.curves[-1], spec.schedule.epochs or 1),
            )
        )

    def test(self) -> tuple[Trial, Any]:
        """Test the best trial, from its checkpoint; returns it with its report."""
        best = best_trial(self.trials, higher_is_better=self.higher)
        assert best is not None
        job = self.sweep.job.model_dump(mode="json", exclude_unset=True)
        changes = best.parameters if best.number else None
        spec = resolve_job(
            Finetune.model_validate(apply_parameters(job, changes or {})),
            Catalog.load(),
            Dataset.open(self.dataset).summary,
        )
        made = train(spec, self.dataset, self._workdir(best.number), device="cpu")
        return best, made.report

    def _workdir(self, number: int) -> Path:
        folder = self.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _watch(self, progress: Progress, epochs: int) -> None:
        curve, halving = self.curves[-1], self.sweep.halving
        if self.sweep.metric not in progress.metrics:
            return
        curve.append(progress.metrics[self.sweep.metric])
        self.losses[-1].append(progress.metrics.get("validation/loss"))
        is_first = len(self.curves) == 1
        if is_first or not isinstance(halving, Halving) or progress.epoch >= progress.epochs:
            return
        reached = halving.count_rungs(len(curve), epochs=epochs)
        if not reached:
            return
        own = self._rungs(curve, epochs)
        others = [trial.rungs[len(own) - 1] for trial in self.trials if len(trial.rungs) >= len(own)]
        if halving.is_weak(own[-1], others, higher_is_better=self.higher, rungs=reached):
            raise Pruned

    def _rungs(self, curve: list[float | None], epochs: int) -> list[float]:
        halving = self.sweep.halving if isinstance(self.sweep.halving, Halving) else Halving()
        return halving.rung_values(curve, epochs=epochs, higher_is_better=self.higher)

    def _final_value(self, curve: list[float | None], training: Any) -> float | None:
        """Return the value of a curve for the weights that were kept."""
        best = training["best_epoch"]
        return curve[-(-best * len(curve) // training["epochs"]) - 1] if best else curve[-1]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=USUAL, default=list(USUAL))
    parser.add_argument("--rows", type=int, help="default: that of the case")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="of each trial; default: those of the recipe")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_args(parser)
    print(
        f"{'case':<11} {'search':<8} {'CPU s':>7} {'cost':>5} {'validation':>10} {'default':>8} {'test':>7}  "
        "95 % interval"
    )
    for name in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            _compare(name, arguments, Path(folder))


def _compare(name: str, arguments: argparse.Namespace, folder: Path) -> None:
    case, (architecture, rows) = CASES[name], USUAL[name]
    sources = case.write(folder, arguments.rows or rows, random.Random(arguments.seed))
    report = import_dataset(sources, folder / "dataset", task=case.task, tasks=TASKS)
    if report.state != "ready":
        raise SystemExit(f"{name} was rejected: {report.errors}")
    job: dict[str, Any] = {"kind": "finetune", "dataset": "few", "model": "few", "task": case.task}
    job |= {"architecture": architecture} if architecture else {}
    job |= {"schedule": {"epochs": arguments.epochs}} if arguments.epochs else {}
    full_seconds = 0.0
    for way, halving in (("full", False), ("halved", True)):
        search = Search(_sweep(job, halving, folder / "dataset", arguments), folder / "dataset", folder / way)
        for number in range(arguments.trials):
            search.run(number)
        full_seconds = full_seconds or search.cpu_seconds
        cost = search.cpu_seconds / full_seconds
        best, tested = search.test()
        low, high = tested["intervals"].get(case.metric, (float("nan"), float("nan")))
        value, default = tested["metrics"][case.metric], search.trials[0].value
        print(
            f"{name:<11} {way:<8} {search.cpu_seconds:>7.1f} {cost:>5.2f} {best.value:>10.3f} {default:>8.3f} "
            f"{value:>7.3f}  {low:.3f} to {high:.3f}",
            flush=True,
        )
        figure(
            f"{name}, {way} search: test {case.metric} of the best of {arguments.trials}",
            value,
            unit="",
            interval=(low, high),
        )
        if halving:
            figure(f"{name}: cost of halving, of {arguments.trials} full runs", cost, unit="", aim="<= 0.4")


def resolve_job(job: Finetune, catalog: Catalog, summary: DatasetSummary) -> Finetune:
    """Return a fine-tuning with all defaults."""
    resolved = resolve(job, catalog, summary)
    assert isinstance(resolved, Finetune)
    return resolved


def _sweep(job: dict[str, Any], halving: bool, dataset: Path, arguments: argparse.Namespace) -> Sweep:
    sweep = Sweep.model_validate({"kind": "sweep", "job": job, "halving": halving, "seed": arguments.seed})
    catalog, summary = Catalog.load(), Dataset.open(dataset).summary
    return resolve_sweep(sweep, resolve_job(sweep.job, catalog, summary), catalog, summary)


if __name__ == "__main__":
    main()
