"""`plinth demo`: the whole way on the handwritten digits that scikit-learn ships, through a service of its own."""

from __future__ import annotations

import os
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from plinth.cli.render import console, evaluation, follow, pasteable, picture
from plinth.client.client import Plinth
from plinth.client.errors import JobFailed, PlinthError
from plinth.client.home import api_key_file, read_stack
from plinth.client.types import Job, ModelVersion
from plinth.local import processes

START_SECONDS = 60.0
STOP_SECONDS = 6.0
TEST_EVERY = 5
ENLARGED = 2
BAR_LENGTH = 24

BASE, TUNED, DATA = "digits-base", "digits", "digits"
PRETRAINING: Mapping[str, Any] = {"epochs": 8, "batch_size": 128}
FINE_TUNING: Mapping[str, Any] = {"epochs": 12, "batch_size": 64}

Pixels = Sequence[Sequence[int]]


def run(folder: Path) -> None:
    """Everything a user would do, in about a minute; what it made stays in `folder`."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _headline("Starting the service", "broker, worker, API and database, all in one folder")
    with _service(folder) as plinth:
        device = plinth.system().get("device") or {}
        console.print(f"Ready at {plinth.url}", *([f"on {device['device']}: {device['why']}"] if device else []))
        _headline("Uploading the handwritten digits of scikit-learn", "1,797 real images of 8 x 8 pixels")
        archive, example, pixels = _write_digits(folder)
        dataset = plinth.datasets.wait(plinth.datasets.upload(archive, name=DATA, task="image_classification").id)
        splits = ", ".join(f"{split} {rows}" for split, rows in dataset.splits.items())
        console.print(f"{dataset.name}@{dataset.version} is ready: {splits}; {len(dataset.classes or ())} classes")

        _headline(
            "Pretraining a base model without looking at a label", "two distorted views of an image belong together"
        )
        reference = f"{dataset.name}@{dataset.version}"
        base = _done(
            plinth,
            plinth.jobs.pretrain(
                reference, objective="contrastive_views", architecture="cnn", schedule=PRETRAINING, model=BASE
            ),
        )
        _headline("Fine-tuning it to name the digits", f"starts from {base.name}@{base.version}")
        tuned = _done(
            plinth,
            job := plinth.jobs.finetune(
                reference,
                task="image_classification",
                start_from=f"{base.name}@{base.version}",
                schedule=FINE_TUNING,
                model=TUNED,
            ),
        )
        _headline("How good is it?", "on the test split, which it has never seen")
        evaluation(plinth.jobs.report(job.id))
        _headline("Asking it", f"{tuned.name}@{tuned.version} answers over HTTP")
        _show_prediction(plinth, tuned, example, pixels)
        _print_how_to_repeat(plinth, folder, example)
    console.print(f"\n[dim]Everything is stopped. {time.monotonic() - began:.0f} s in all.[/]")


@contextmanager
def _service(folder: Path) -> Iterator[Plinth]:
    """`plinth up` in the folder, on any free port; ended at the end, whatever happens."""
    log = folder / "up.log"
    command = [sys.executable, "-P", "-m", "plinth", "up", "--home", str(folder), "--port", "0"]
    up = processes.spawn(command, log=log, environment=_own_environment())
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (noted := read_stack(folder)).get("ready") or noted.get("pid") != up.pid:
            if up.poll() is not None or time.monotonic() > deadline:
                raise PlinthError(f"The service does not start:\n{processes.last_lines(log)}")
            time.sleep(0.05)
        with Plinth(noted["url"], api_key_file(folder).read_text().strip()) as plinth:
            yield plinth
    finally:
        processes.end([up], grace_seconds=STOP_SECONDS)


def _own_environment() -> dict[str, str]:
    """A service that is set up by `PLINTH_*` variables is somebody's real one: only the device is taken from them."""
    kept = ("PLINTH_DEVICE", "PLINTH_TORCH_THREADS")
    return {name: value for name, value in os.environ.items() if not name.startswith("PLINTH_") or name in kept}


def _write_digits(folder: Path) -> tuple[Path, Path, Pixels]:
    """The digits as a zip of class folders; one of the test images as a file of its own, and its pixels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    archive, example = folder / "digits.zip", folder / "digit.png"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            split = "test" if number % TEST_EVERY == 0 else "train"
            zipped.writestr(f"{split}/{label}/{number:04}.png", _png(_grey(image)))
    pixels = _grey(digits.images[0])
    example.write_bytes(_png(pixels))
    return archive, example, pixels


def _grey(image: Any) -> list[list[int]]:
    """From scikit-learn's 0..16 to 0..255."""
    return [[min(255, round(value * 255 / 16)) for value in row] for row in image.tolist()]


def _png(pixels: Pixels) -> bytes:
    """An 8-bit grey PNG, each line unfiltered. Written here, so that the client needs no image library."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + bytes(row) for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def _done(plinth: Plinth, job: Job) -> ModelVersion:
    """Watch a job to its end; the model it made."""
    ended = follow(plinth, job.id)
    if ended.state != "succeeded" or ended.model is None:
        raise JobFailed(ended)
    return plinth.models.get(str(ended.model))


def _show_prediction(plinth: Plinth, model: ModelVersion, example: Path, pixels: Pixels) -> None:
    """The picture, and beside it how probable each answer is."""
    output = plinth.predict(f"{model.name}@{model.version}", example).output
    answers = Table(box=None, show_header=False, pad_edge=False)
    best = sorted(output["probabilities"].items(), key=lambda answer: -answer[1])
    for label, probability in best[:5]:
        answers.add_row(f"[bold]{escape(label)}[/]", "█" * round(probability * BAR_LENGTH), f"{probability:.1%}")
    beside = Table.grid(padding=(0, 4))
    beside.add_row(picture(_enlarged(pixels)), answers)
    console.print(beside)


def _enlarged(pixels: Pixels) -> Pixels:
    return [[value for value in row for _ in range(ENLARGED)] for row in pixels for _ in range(ENLARGED)]


def _print_how_to_repeat(plinth: Plinth, folder: Path, example: Path) -> None:
    port = plinth.url.rpartition(":")[2]
    key = api_key_file(folder).read_text().strip()
    console.print("\n[bold]The same again[/], while the service runs:")
    for command in (
        pasteable(f"plinth up --home {folder} --port {port}"),
        f'curl -H "Authorization: Bearer {key}" -H "Content-Type: image/png" '
        f"--data-binary @{example} {plinth.url}/predict/{TUNED}",
    ):
        console.print(f"  {escape(command)}", soft_wrap=True)


def _headline(what: str, why: str) -> None:
    console.print(f"\n[bold cyan]{what}[/]  [dim]{why}[/]")
