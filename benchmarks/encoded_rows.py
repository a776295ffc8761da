"""Memory and processor time of a training of texts until its first step.

python -m benchmarks.encoded_rows [--rows 100000 1000000] [--megabytes 100] [--before FOLDER]

Rows are texts of about 130 bytes with one of four labels, for `text_classification`; megabytes are those of one file,
for `text_generation`. The default recipe runs in a process of its own and is left after its first step: its peak of
resident memory counts mapped pages of files, its private peak does not. A second run finds the encoded rows of the
first. `--before`: a checkout of another commit, which the same process runs beside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.data.limits import Limits
from ml.tasks import TASKS

WORDS: Final = 20_000
WORDS_PER_TEXT: Final = 19
LABELS: Final = ("art", "law", "sport", "trade")
#: Trains the spec of its arguments until the first step, and prints what that took.
PROGRAM: Final = """
import json, sys, threading, time
from pathlib import Path
from pydantic import TypeAdapter
import ml.learning.pipeline.train as pipeline
from ml.errors import TrainingInterrupted
from ml.learning.training.progress import Stop
from ml.spec.schema import Spec

spec, dataset, workdir, cache = json.loads(sys.argv[1])
first, private = [], [0]

def watch():
    while True:
        fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
        private[0] = max(private[0], int(fields["RssAnon"].split()[0]))
        time.sleep(0.05)

def note(progress):
    if progress.step and not first:
        first.append(time.process_time())

threading.Thread(target=watch, daemon=True).start()
options = {"cache": Path(cache)} if "cache" in pipeline.TrainingOptions.__annotations__ else {}
try:
    pipeline.train(TypeAdapter(Spec).validate_python(spec), Path(dataset), Path(workdir), device="cpu", threads=1,
                   on_progress=note, should_stop=lambda: Stop.LEAVE if first else None, **options)
except TrainingInterrupted:
    pass
# Not `ru_maxrss`, which a process inherits from the one that starts it.
peak = int(dict(line.split(":", 1) for line in open("/proc/self/status"))["VmHWM"].split()[0])
print(json.dumps({"cpu_s": first[0], "peak_mb": peak / 1024, "private_mb": private[0] / 1024}))
"""


def main() -> None:
    """Print megabytes and CPU-seconds of each size and checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--megabytes", type=int, nargs="*", default=[100])
    parser.add_argument("--before", type=Path, help="checkout of another commit")
    arguments = parse_args(parser)
    table = Table("data", "build", "peak MB", "private MB", "CPU-s to step 1")
    with tempfile.TemporaryDirectory() as folder:
        sizes = [*(("rows", rows) for rows in arguments.rows), *(("MB", size) for size in arguments.megabytes)]
        for unit, size in sizes:
            work = Path(folder) / f"{size}{unit}"
            name, spec = f"{size:,} {unit}", _make_dataset(work, unit, size)
            builds = {"before": arguments.before, "now": Path(), "again": Path()}
            for build, checkout in builds.items():
                if checkout is None:
                    continue
                result = _train(checkout.absolute(), spec, work, build)
                table.add_row(name, build, *(f"{result[key]:,.0f}" for key in ("peak_mb", "private_mb", "cpu_s")))
                for key, measure in (("peak_mb", "MB"), ("private_mb", "private MB"), ("cpu_s", "CPU-s")):
                    figure(
                        f"{name} to step 1, {build}, {measure}", result[key], unit=measure, aim=_aim(size, build, key)
                    )
    Console().print(table)


def _aim(size: int, build: str, key: str) -> str:
    if size != 1_000_000 or build == "before":
        return ""
    return {"peak_mb": "<= 600", "cpu_s": "<= 25"}.get(key, "")


def _make_dataset(work: Path, unit: str, size: int) -> dict[str, Any]:
    """Import generated data into `work`, and return the spec of the default recipe."""
    work.mkdir()
    generator = np.random.default_rng(0)
    lengths = generator.integers(3, 10, WORDS)
    vocabulary = np.array(["".join(generator.choice(list("abcdefghiklmnoprstuv"), n)) for n in lengths])
    task = "text_classification" if unit == "rows" else "text_generation"
    path = work / ("texts.csv" if unit == "rows" else "texts.txt")
    with path.open("w") as file:
        file.write("text,label\n" if unit == "rows" else "")
        while unit == "rows" or file.tell() < size << 20:
            # Words are drawn like those of a language, a few of them often (Zipf's law).
            drawn = vocabulary[np.minimum(generator.zipf(1.2, (1000, WORDS_PER_TEXT)), WORDS) - 1]
            texts = [" ".join(words) for words in drawn.tolist()]
            if unit == "rows":
                file.writelines(f"{text} {row + size},{LABELS[row % len(LABELS)]}\n" for row, text in enumerate(texts))
                size -= len(texts)
                if size <= 0:
                    break
            else:
                file.writelines(f"{text}.\n\n"[: None if row % 10 == 9 else -2] + " " for row, text in enumerate(texts))
    report = import_dataset([path], work / "dataset", task=task, tasks=TASKS, limits=Limits())
    if report.state != "ready":
        raise SystemExit(f"the data was rejected: {report.errors}")
    path.unlink()
    return {"kind": "finetune", "dataset": "texts", "task": task, "model": "texts"}


def _train(checkout: Path, spec: dict[str, Any], work: Path, build: str) -> dict[str, float]:
    """Train until the first step in a process of its own."""
    run = work / f"run-{build}"
    run.mkdir()
    arguments = json.dumps([spec, str(work / "dataset"), str(run), str(work / "cache")])
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, arguments]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=work).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
