"""`plinth demo`: all steps from data to prediction, on the digits of scikit-learn."""

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

from plinth.cli.render import console, draw_image, print_evaluation, to_shell_command
from plinth.cli.render_progress import follow
from plinth.client.client import Plinth
from plinth.client.errors import JobFailed, PlinthError
from plinth.client.home import api_key_file, read_stack
from plinth.client.types import Job, ModelVersion
from plinth.local import processes

START_SECONDS = 60.0
STOP_SECONDS = 6.0
TEST_EVERY = 5
SCALE_FACTOR = 2
BAR_LENGTH = 24

BASE_MODEL, MODEL, DATASET = "digits-base", "digits", "digits"
PRETRAINING: Mapping[str, Any] = {"epochs": 8, "batch_size": 128}
FINE_TUNING: Mapping[str, Any] = {"epochs": 12, "batch_size": 64}

Pixels = Sequence[Sequence[int]]


def run(folder: Path) -> None:
    """Run all steps against a service of its own, in about a minute.

    The data, models and logs remain in `folder`.
    """
    started_at = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _print_headline("Starting the service", "broker, worker, API and database in one folder")
    with _run_service(folder) as plinth:
        device = plinth.system().get("device") or {}
        console.print(f"Ready at {plinth.url}", *([f"on {device['device']}: {device['why']}"] if device else []))
        _print_headline("Uploading the handwritten digits of scikit-learn", "1,797 real images of 8 x 8 pixels")
        archive, example, pixels = write_digits(folder)
        dataset = plinth.datasets.wait(plinth.datasets.upload(archive, name=DATASET, task="image_classification").id)
        splits = ", ".join(f"{split} {rows}" for split, rows in dataset.splits.items())
        console.print(f"{dataset.name}@{dataset.version} is ready: {splits}; {len(dataset.classes or ())} classes")

        _print_headline("Pretraining a base model without labels", "it learns to match two distorted views of an image")
        reference = f"{dataset.name}@{dataset.version}"
        base = _wait_for_model(
            plinth,
            plinth.jobs.pretrain(
                reference, objective="contrastive_views", architecture="cnn", schedule=PRETRAINING, model=BASE_MODEL
            ),
        )
        _print_headline("Fine-tuning the base model to classify digits", f"starts from {base.name}@{base.version}")
        model = _wait_for_model(
            plinth,
            job := plinth.jobs.finetune(
                reference,
                task="image_classification",
                start_from=f"{base.name}@{base.version}",
                schedule=FINE_TUNING,
                model=MODEL,
            ),
        )
        _print_headline("Evaluating the model", "on the test split, which was not used for training")
        print_evaluation(plinth.jobs.report(job.id))
        _print_headline("Predicting", f"{model.name}@{model.version} serves predictions over HTTP")
        _print_prediction(plinth, model, example, pixels)
        _print_commands(plinth, folder, example)
    console.print(f"\n[dim]The service is stopped. The demo took {time.monotonic() - started_at:.0f} s.[/]")


@contextmanager
def _run_service(folder: Path) -> Iterator[Plinth]:
    """Run `plinth up` in the folder on a free port; yields a client."""
    log = folder / "up.log"
    command = [sys.executable, "-P", "-m", "plinth", "up", "--home", str(folder), "--port", "0"]
    process = processes.spawn(command, log=log, environment=_make_environment())
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (stack := read_stack(folder)).get("ready") or stack.get("pid") != process.pid:
            if process.poll() is not None or time.monotonic() > deadline:
                raise PlinthError(f"The service did not start. See {log}:\n{processes.read_last_lines(log)}")
            time.sleep(0.05)
        with Plinth(stack["url"], api_key_file(folder).read_text().strip()) as plinth:
            yield plinth
    finally:
        processes.end([process], grace_seconds=STOP_SECONDS)


def _make_environment() -> dict[str, str]:
    """Copy the environment without `PLINTH_*` variables, except those of the device.

    The others may configure a real service.
    """
    allowed_names = ("PLINTH_DEVICE", "PLINTH_TORCH_THREADS")
    return {
        name: value for name, value in os.environ.items() if not name.startswith("PLINTH_") or name in allowed_names
    }


def write_digits(folder: Path) -> tuple[Path, Path, Pixels]:
    """Write the digits as a zip of class folders, and one test image.

    Returns the paths of the zip and the image, and the pixels of the image.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    archive, example = folder / "digits.zip", folder / "digit.png"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as output:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            split = "test" if number % TEST_EVERY == 0 else "train"
            output.writestr(f"{split}/{label}/{number:04}.png", _encode_png(_to_gray(image)))
    pixels = _to_gray(digits.images[0])
    example.write_bytes(_encode_png(pixels))
    return archive, example, pixels


def _to_gray(image: Any) -> list[list[int]]:
    """Convert pixels from 0..16, as in scikit-learn, to 0..255."""
    return [[min(255, round(value * 255 / 16)) for value in row] for row in image.tolist()]


def _encode_png(pixels: Pixels) -> bytes:
    """Encode pixels as an 8-bit gray PNG without filters.

    It is written here so that the client needs no image library.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + bytes(row) for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def _wait_for_model(plinth: Plinth, job: Job) -> ModelVersion:
    """Follow a job to its end and return its model. Raises `JobFailed`."""
    ended_job = follow(plinth, job.id)
    if ended_job.state != "succeeded" or ended_job.model is None:
        raise JobFailed(ended_job)
    return plinth.models.get(str(ended_job.model))


def _print_prediction(plinth: Plinth, model: ModelVersion, example: Path, pixels: Pixels) -> None:
    """Print the image, and beside it the five most probable labels."""
    output = plinth.predict(f"{model.name}@{model.version}", example).output
    labels = Table(box=None, show_header=False, pad_edge=False)
    ranked = sorted(output["probabilities"].items(), key=lambda item: -item[1])
    for label, probability in ranked[:5]:
        labels.add_row(f"[bold]{escape(label)}[/]", "█" * round(probability * BAR_LENGTH), f"{probability:.1%}")
    columns = Table.grid(padding=(0, 4))
    columns.add_row(draw_image(_enlarge(pixels)), labels)
    console.print(columns)


def _enlarge(pixels: Pixels) -> Pixels:
    return [[value for value in row for _ in range(SCALE_FACTOR)] for row in pixels for _ in range(SCALE_FACTOR)]


def _print_commands(plinth: Plinth, folder: Path, example: Path) -> None:
    port = plinth.url.rpartition(":")[2]
    key = api_key_file(folder).read_text().strip()
    console.print("\n[bold]To repeat it[/], start the service, then send the image:")
    for command in (
        to_shell_command(f"plinth up --home {folder} --port {port}"),
        f'curl -H "Authorization: Bearer {key}" -H "Content-Type: image/png" '
        f"--data-binary @{example} {plinth.url}/predict/{MODEL}",
    ):
        console.print(f"  {escape(command)}", soft_wrap=True)


def _print_headline(title: str, note: str) -> None:
    console.print(f"\n[bold cyan]{title}[/]  [dim]{note}[/]")
