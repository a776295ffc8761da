"""Adversarial training beside the usual one: MNIST, sentences of SST-2, spoken digits of FSDD.

Both models have the same architecture, schedule and rows; one of them is trained against `fgsm`. The first test rows
are attacked by projected gradient descent in 40 steps, which neither model was trained against.

    python -m benchmarks.tasks.adversarial
    python -m benchmarks.tasks.adversarial --cases mnist --rows 1000
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.learning.export.torch_runner import load_network
from ml.learning.pipeline.robustness import RadiusEntry, measure_robustness
from ml.learning.pipeline.train import TrainingResult, train
from ml.learning.training.attacks.base import AttackConfig
from ml.learning.training.batches import SequentialBatches
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

STEPS: Final = 40
#: Labeled sentences of SST-2: enough to learn something, few enough for a benchmark of minutes.
SENTENCES: Final = 4000


@dataclass(frozen=True, slots=True)
class Case:
    """A dataset, what is trained on it, and the radii of the attack."""

    task: str
    fields: Mapping[str, Any]
    #: Radius that is trained against; None for the default.
    trained: float | None
    radii: tuple[float, ...]


CASES: Final = {
    # Trained against more than it is judged by: a single step is weaker than the forty that judge.
    "mnist": Case("image_classification", {"architecture": "cnn"}, 0.3, (0.0, 0.1, 0.2, 0.3)),
    # The default radius and weight of texts.
    "sst2": Case("text_classification", {"architecture": "transformer"}, None, (0.0, 0.01, 0.02, 0.05)),
    "fsdd": Case("audio_classification", {}, 0.2, (0.0, 0.05, 0.1, 0.2)),
}


def import_case(name: str, folder: Path) -> Path:
    """Import the data of a case."""
    source = SHARED_DATA / name
    if name == "mnist":
        files = sorted(source.glob("*.gz"))
    elif name == "sst2":
        files = [_sentences(source, folder / "sst2.csv")]
    else:
        files = [_clips(source, folder / "fsdd.zip")]
    report = import_dataset(files, folder / "dataset", task=CASES[name].task)
    if report.state != "ready":
        raise SystemExit(f"{name} cannot be imported: {report.errors}")
    return folder / "dataset"


def _sentences(source: Path, path: Path) -> Path:
    """Write the first training sentences and all test sentences as one table with splits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for split, limit in (("train", SENTENCES), ("test", None)):
            lines = (source / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
            writer.writerows([*line.split("\t"), split] for line in lines[:limit])
    return path


def _clips(source: Path, path: Path) -> Path:
    """Zip the audio clips by digit, the first character of their names."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((source / "recordings").glob("*.wav")):
            archive.write(file, f"{file.name[0]}/{file.name}")
    return path


def attack(result: TrainingResult, dataset: Path, case: Case, rows: int) -> list[RadiusEntry]:
    """Attack the first test rows of a trained model."""
    package = result.package
    task = package.task()
    assert task is not None
    columns = task.encode(Dataset.open(dataset).rows("test")[:rows])
    batches = SequentialBatches(columns, collate=task.collate, batch_size=100, device=torch.device("cpu"))
    section = measure_robustness(
        load_network(package),
        package.encoders(),
        batches.epoch(),
        attack=AttackConfig(),
        radii=case.radii,
        steps=STEPS,
        max_rows=rows,
    )
    return section["radii"]


def run(name: str, *, rows: int, seed: int) -> None:
    """Train both models of a case and print accuracy by radius."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as temporary:
        dataset = import_case(name, Path(temporary))
        adversary = {"name": "fgsm", "config": {"radius": case.trained}}
        losses = {}
        for kind, changes in (("usual", {}), ("adversarial", {"adversary": adversary})):
            fields = {"kind": "finetune", "dataset": name, "model": name, "task": case.task, "seed": seed}
            spec = TypeAdapter[Spec](Spec).validate_python({**fields, **case.fields, **changes})
            folder = Path(temporary) / kind
            folder.mkdir()
            cpu = time.process_time()
            result = train(spec, dataset, folder, device="cpu", threads=1)
            cpu = time.process_time() - cpu
            entries = attack(result, dataset, case, rows)
            losses[kind] = [entry["loss"] for entry in entries]
            figure(f"{name}, {kind}: training", cpu, unit="CPU s")
            for entry in entries:
                note, radius = f"{rows} rows, PGD of {STEPS} steps", f"{entry['radius']:g}"
                figure(f"{name}, {kind}: accuracy at radius {radius}", 100 * entry["accuracy"], unit="%", note=note)
                figure(f"{name}, {kind}: loss at radius {radius}", entry["loss"], unit="nats", note=note)
            clean = 100 * result.metrics["test/accuracy"]
            figure(f"{name}, {kind}: accuracy on all test rows", clean, unit="%")
            cells = "  ".join(
                f"{entry['radius']:g}: {100 * entry['accuracy']:5.1f} % {entry['loss']:.3f}" for entry in entries
            )
            print(f"{name:6} {kind:12} {cpu:6.0f} CPU s  test {clean:5.2f} %  {cells}", flush=True)
        compare_losses(name, case.radii, losses["usual"], losses["adversarial"])


def compare_losses(name: str, radii: Sequence[float], usual: Sequence[float], robust: Sequence[float]) -> None:
    """Print what an attack adds to the loss, of both models.

    The first radius is 0, without an attack. The figure is the robust model's over the usual one's.
    """
    for number, radius in enumerate(radii[1:], start=1):
        added = (robust[number] - robust[0]) / (usual[number] - usual[0])
        label = f"{name}: added by the attack of radius {radius:g}, adversarial over usual"
        figure(label, added, unit="of the loss", aim="<= 0.5")
        total = robust[number] / usual[number]
        figure(f"{name}: loss at radius {radius:g}, adversarial over usual", total, unit="of the loss")
        print(f"{label}: {added:.3f}, whole loss {total:.3f}", flush=True)


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rows", type=int, default=500, help="test rows under attack")
    parser.add_argument("--seed", type=int, default=0)
    options = parse_args(parser)
    for name in options.cases:
        run(name, rows=options.rows, seed=options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
