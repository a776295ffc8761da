"""BCCD: what a detector of blood cells reaches with the catalog's default recipe.

Trained on the train split of the VOC archive, hyper-parameters chosen on its val split; the test split is judged once.
CPU seconds cover everything from spec to package, evaluation and export included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.record import figure, parse_args
from ml.data.importing.importer import import_dataset
from ml.learning.pipeline.train import train
from ml.spec.catalog import Catalog
from ml.spec.schema import Spec
from tests.support.repository import SHARED_DATA

DATA = SHARED_DATA / "bccd"
PARTS = ("JPEGImages", "Annotations", "ImageSets")
MAP50 = 0.75


def pack(folder: Path, archive: Path) -> Path:
    """The folder as the zip that a user would send."""
    with zipfile.ZipFile(archive, "w") as file:
        for part in PARTS:
            for path in sorted((folder / part).rglob("*.*")):
                file.write(path, path.relative_to(folder))
    return archive


def fitting() -> list[str]:
    """The architectures that detection can be built on."""
    return [name for name, reason in Catalog.load().fits.tasks["object_detection"]["image"].items() if not reason]


def main() -> None:
    """Print a table; ends with 1 where an architecture misses its aim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of JPEGImages, Annotations and ImageSets")
    parser.add_argument("--architectures", nargs="+", choices=fitting(), default=["cnn"])
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="pixels; default: the encoder's")
    parser.add_argument("--epochs", type=int, help="default: the task's")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_args(parser)
    if not (arguments.data / "JPEGImages").is_dir():
        sys.exit(f"skipped: no BCCD in {arguments.data}; name its folder with --data")
    remaining = True
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        report = import_dataset([pack(arguments.data, Path(folder) / "bccd.zip")], dataset, task="object_detection")
        if report.state != "ready":
            sys.exit(f"BCCD was rejected: {report.errors}")
        repairs = ", ".join(f"{entry.code} {entry.count}" for entry in report.errors)
        print(f"{report.splits}, found: {repairs or 'nothing'}")
        head = ("architecture", "parameters", "pixels", "epochs", "mAP", "mAP50", "baseline", "CPU s", "promised")
        print("{:<14} {:>10} {:>9} {:>6} {:>6} {:>6} {:>8} {:>6}  {}".format(*head), flush=True)
        for name in arguments.architectures:
            remaining &= _row(name, dataset, Path(folder) / name, arguments)
    sys.exit(not remaining)


def _row(name: str, dataset: Path, workdir: Path, arguments: argparse.Namespace) -> bool:
    workdir.mkdir()
    request = {"kind": "finetune", "dataset": "bccd", "model": "bccd", "task": "object_detection", "architecture": name}
    size = arguments.size
    encoders = {"image": {"width": size[0], "height": size[1]}} if size else {}
    schedule = {"epochs": arguments.epochs} if arguments.epochs else {}
    spec = TypeAdapter[Spec](Spec).validate_python(
        {**request, "encoders": encoders, "schedule": schedule, "seed": arguments.seed}
    )
    began = time.process_time()
    result = train(spec, dataset, workdir, device="cpu")
    seconds = time.process_time() - began
    report: dict[str, Any] = {**result.report}
    result_value, baseline = report["metrics"], report["baseline"]
    remaining = bool(result_value["map50"] >= MAP50)
    config = result.package.manifest.encoders["image"].config
    pixels = f"{config['width']}x{config['height']}"
    sizes = f"{result.package.manifest.parameters:>10,} {pixels:>9} {report['training']['epochs']:>6}"
    scores = f"{result_value['map']:>6.3f} {result_value['map50']:>6.3f} {baseline['map50']:>8.3f}"
    figure(f"{name}: mAP50", result_value["map50"], unit="", aim=f">= {MAP50}", note=f"{seconds:.0f} CPU s")
    figure(f"{name}: mAP", result_value["map"], unit="")
    print(f"{name:<14} {sizes} {scores} {seconds:>6.0f}  {'kept' if remaining else 'MISSED'}")
    for row in report["per_class"]:
        print(
            f"  {row['label']:<12} mAP50 {row['map50']:.3f}, mAP {row['map']:.3f}, {row['support']} boxes", flush=True
        )
    return remaining


if __name__ == "__main__":
    main()
