"""Small image network: JSON, PNG and raw bytes over many connections and over one."""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.serving.load import Load, no_op
from benchmarks.serving.service import Figure, Service

BODIES: Final = 16
AIMS: Final = {"json": 10_000, "png": 10_000, "raw": 15_000}


def compute_limit(folder: Path, *, rows: int = 64) -> float:
    """Inputs a CPU-second that the network alone answers, without a server."""
    from ml.inference.predictor import Predictor
    from ml.package.package import ModelPackage

    predictor = Predictor.load(ModelPackage.open(folder))
    batch = {"image": np.random.default_rng(0).random((rows, 1, 28, 28), dtype=np.float32)}
    for _ in range(20):
        predictor._run("model", batch)
    began, calls = time.process_time(), 200
    for _ in range(calls):
        predictor._run("model", batch)
    return rows * calls / (time.process_time() - began)


def small_network(folder: Path) -> Path:
    """Make a network of one convolution and a dense layer for 28 x 28 images."""
    folder.mkdir()
    from pydantic import TypeAdapter

    from ml.data.importing.importer import import_dataset
    from ml.learning.pipeline.train import train
    from ml.spec.schema import Spec
    from ml.tasks import TASKS

    source = table(folder / "pictures.csv", rows=400)
    report = import_dataset([source], folder / "dataset", task="image_classification", tasks=TASKS)
    assert report.state == "ready", report.errors
    request = {
        "kind": "finetune",
        "dataset": "images",
        "model": "small",
        "task": "image_classification",
        "architecture": {"name": "cnn", "config": {"preset": "document", "hidden": 64}},
        "schedule": {"epochs": 1},
    }
    spec = TypeAdapter(Spec).validate_python(request)
    done = train(spec, folder / "dataset", folder / "work", device="cpu")
    return done.package.directory


def table(path: Path, *, rows: int) -> Path:
    """Write labels and pixels of `rows` images as CSV."""
    lines = ["label," + ",".join(f"p{place}" for place in range(784))]
    lines += [
        f"{row % 10}," + ",".join(map(str, image.ravel().tolist())) for row, image in enumerate(random_images(rows))
    ]
    path.write_text("\n".join(lines))
    return path


def random_images(count: int) -> np.ndarray:
    """uint8 [count, 28, 28]."""
    return np.random.default_rng(1).integers(0, 256, size=(count, 28, 28), dtype=np.uint8)


def bodies(kind: str) -> tuple[list[bytes], str]:
    """Return `BODIES` different requests of a kind, and their content type."""
    from ml.data.files.images import encode_png

    images = random_images(BODIES)
    if kind == "json":
        return [json.dumps({"inputs": [{"pixels": image.tolist()}]}).encode() for image in images], "application/json"
    if kind == "base64":
        encoded = [base64.b64encode(encode_png(image[:, :, None])).decode() for image in images]
        return [json.dumps({"inputs": [{"image": image}]}).encode() for image in encoded], "application/json"
    if kind == "png":
        # Noise does not compress; a drawn digit is what people send.
        return [encode_png(_drawn(number)) for number in range(BODIES)], "image/png"
    return [b"P5\n28 28\n255\n" + image.tobytes() for image in images], "image/x-portable-graymap"


def _drawn(number: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (28, 28))
    ImageDraw.Draw(canvas).line([(4 + number % 8, 5), (22, 8), (10, 24)], fill=255, width=3)
    return np.asarray(canvas)[:, :, None]


def measure(service: Service) -> Iterable[Figure]:
    """Limits first, then every kind of request, then one connection."""
    package = small_network(service.folder / "pictures")
    service.register(package, name="small")
    limit, compute = no_op(seconds=service.seconds, connections=service.connections), compute_limit(package)
    serial = 1 / (1 / limit.per_cpu_second + 1 / compute)
    yield Figure("bare ASGI no-op", f"{limit.per_cpu_second:,.0f}/CPU-s")
    yield Figure("small network alone", f"{compute:,.0f} inputs/CPU-s", note=f"both in a row: {serial:,.0f}")
    for kind in ("json", "base64", "png", "raw"):
        result = loaded(service, kind, connections=service.connections)
        yield Figure(
            f"small CNN, {kind}, {service.connections} connections",
            f"{result.per_cpu_second:,.0f}/CPU-s",
            aim=f">= {AIMS[kind]:,}" if kind in AIMS else "",
            note=f"{result.per_cpu_second / serial:.0%} of serial, {result.message}",
        )
    alone = [no_op(seconds=service.seconds, connections=1).p50_ms for _ in range(3)]
    ours = [loaded(service, "raw", connections=1).p50_ms for _ in range(3)]
    above = statistics.median(ours) - statistics.median(alone)
    note = f"no-op {statistics.median(alone):.2f} ms"
    yield Figure("one connection, p50 above the no-op", f"{above:+.2f} ms", aim="<= +0.35 ms", note=note)


def loaded(service: Service, kind: str, *, connections: int) -> Load:
    """Requests of a kind to the model `small`."""
    sent, content_type = bodies(kind)
    return service.drive("/predict/small", sent, content_type, connections=connections)
