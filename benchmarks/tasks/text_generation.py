"""Tinyshakespeare: bits per character, and speed of generation.

    python -m benchmarks.tasks.text_generation                     train the small gpt as it comes, on the usual split
    python -m benchmarks.tasks.text_generation --architecture rnn
    python -m benchmarks.tasks.text_generation --speed              speed alone, of a network that has learned little

The last tenth of the text is looked at once; the tenth before it validates. Bits a character compare with an n-gram of
order 5 (2.45), whatever the tokens. Speed is of the exported graph on one thread, in CPU seconds, with
the state that remembers what was read and without.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.data.rows import Rows
from ml.generation.loop import GenerationLoop
from ml.generation.state import GenerationState, state_shapes
from ml.inference.predictor import Predictor
from ml.learning.pipeline.train import train
from ml.spec.schema import Finetune
from ml.tasks import TASKS
from ml.tasks.text_generation import STEP, TextGeneration
from tests.support.repository import SHARED_DATA

if TYPE_CHECKING:
    from ml.learning.pipeline.report import TrainingReport
    from ml.package.package import ModelPackage
    from ml.signals import Arrays, Run

DATA = SHARED_DATA / "tinyshakespeare" / "input.txt"
SPLITS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}
NEW_TOKENS, MANY = 128, 16
TURNS = 5
#: Characters that are enough where weights do not matter.
SPEED_CHARACTERS = 200_000
PROMPT = "ROMEO:\n"


def main() -> None:
    """Print a table and a sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="one long text")
    parser.add_argument("--architecture", default="gpt")
    parser.add_argument("--preset", default=None)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--learning-rate", type=float, default=None)
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--optimizer", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", action="store_true", help="train on a part only, as weights change no speed")
    parser.add_argument("--keep", type=Path, default=None, help="folder to leave the package in")
    arguments = parse_args(parser)
    if not arguments.data.is_file():
        sys.exit(f"skipped: there is no {arguments.data}; name a text with --data")
    with tempfile.TemporaryDirectory() as folder:
        _learn(arguments, arguments.keep or Path(folder))


def _learn(arguments: argparse.Namespace, work: Path) -> None:
    began = time.process_time()
    text = arguments.data.read_text(encoding="utf-8")[: SPEED_CHARACTERS if arguments.speed else None]
    incoming = work / "incoming"
    incoming.mkdir(parents=True)
    for split, (start, end) in SPLITS.items():
        (incoming / f"{split}.txt").write_text(text[int(start * len(text)) : int(end * len(text))], encoding="utf-8")
    report = import_dataset(sorted(incoming.iterdir()), work / "dataset", task="text_generation", tasks=TASKS)
    if report.state != "ready":
        sys.exit(f"the text was rejected: {report.errors}")
    config = {"preset": arguments.preset} if arguments.preset else {}
    schedule = {
        "epochs": 1 if arguments.speed else arguments.epochs,
        "learning_rate": arguments.learning_rate,
        "batch_size": arguments.batch_size,
        "optimizer": arguments.optimizer,
    }
    request: dict[str, Any] = {
        "kind": "finetune",
        "task": "text_generation",
        "dataset": "tinyshakespeare",
        "model": "shakespeare",
        "architecture": {"name": arguments.architecture, "config": config},
        "schedule": {name: value for name, value in schedule.items() if value is not None},
        "seed": arguments.seed,
    }

    def tell(progress: Any) -> None:
        if progress.message:
            result = {name: round(value, 4) for name, value in progress.metrics.items()}
            print(f"{progress.message}: {result}, {time.process_time() - began:.0f} CPU s", flush=True)

    spec = TypeAdapter(Finetune).validate_python(request)
    made = train(spec, work / "dataset", work / "run", device="cpu", on_progress=tell, should_stop=lambda: None)
    cpu_seconds = time.process_time() - began
    if not arguments.speed:
        _show(made.report, parameters=made.package.manifest.parameters, cpu_seconds=cpu_seconds)
    _measure_speed(made.package)


def _show(report: TrainingReport, *, parameters: int, cpu_seconds: float) -> None:
    metrics, baseline = report["metrics"], report["baseline"]
    print(f"{'':<22} {'model':>8} {'unigram':>8}   on {report['split']}")
    for name in metrics:
        print(f"{name:<22} {metrics[name]:>8.3f} {baseline[name]:>8.3f}")
    figure("bits per character", metrics["bits_per_character"], unit="", aim="<= 2.45", note=f"{cpu_seconds:.0f} CPU s")
    steps = report["training"]["steps"]
    print(f"{parameters:,} parameters, {steps} steps, {cpu_seconds:.0f} CPU s in all")


def _measure_speed(package: ModelPackage) -> None:
    predictor = Predictor.load(package)
    task = package.task()
    assert isinstance(task, TextGeneration)
    print(f"new tokens a CPU second, by {predictor.engine}: {'':>8} one text {MANY:>4} texts")
    served = ", ".join(package.manifest.graphs[STEP].served_files)
    for name, cached in (("each token read once", True), ("all read again for each token", False)):
        turns = [tuple(_speed(task, predictor.run, rows, cached=cached) for rows in (1, MANY)) for _ in range(TURNS)]
        single, many = zip(*turns, strict=True)
        print(f"{name:<48} {median(single):>8,.0f} {median(many):>10,.0f}")
        for texts, speeds, aim in (("one text", single, "3,550"), (f"{MANY} texts", many, "7,040")):
            note = f"{served}; {NEW_TOKENS} new tokens a text"
            figure(f"{texts}, {name}", speeds, unit="tokens/CPU-s", aim=f">= {aim}" if cached else "", note=note)
    (text,) = predictor.predict([{"prompt": PROMPT, "max_new_tokens": 200, "seed": 1}])
    print(PROMPT + text["text"])


def _speed(task: TextGeneration, run: Run, rows: int, *, cached: bool) -> float:
    shapes = state_shapes(task.state)

    def read(batch: Arrays) -> Arrays:
        nothing = {} if cached else GenerationState("text", shapes, rows=len(batch["text"])).inputs()
        return run(STEP, {**batch, **nothing})

    request = [task.read({"prompt": PROMPT, "max_new_tokens": NEW_TOKENS}, parameters={}) for _ in range(rows)]
    batch = task.collate(task.encode(Rows({name: [row[name] for row in request] for name in request[0]})))
    some = task.start_sequences(batch)
    loop = GenerationLoop(read, slot="text", context=task.state["context"], state_shapes=shapes if cached else [])
    loop.join(some)
    began = time.process_time()
    while loop.is_busy:
        loop.step()
    return sum(len(item.new_tokens) for item in some) / (time.process_time() - began)


if __name__ == "__main__":
    main()
