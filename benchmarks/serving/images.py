"""Image networks, that of the default recipe first: JSON, PNG, raw bytes and tensors."""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.serving.load import Load, no_op
from benchmarks.serving.service import Figure, Service

BODIES: Final = 16
#: Requests a CPU-second, as a fraction of those of the no-op and the network in a row.
AIMS: Final = {"json": 0.70, "png": 0.70, "raw": 0.88}
#: Rows of a call of the network.
BATCHES: Final = (1, 8, 64)
#: Rows of the training data: as many as the default recipe has its fast network for, and a few to test.
ROWS: Final = 13_000
#: Rows of the request with a tensor.
ROWS_OF_TENSOR: Final = 64
#: Rounds of a comparison of two networks, in turns.
TURNS: Final = 11
DEFAULT: Final = "default recipe"
#: What the default recipe trained before it had a preset for many rows, and still trains for few.
EARLIER: Final[dict[str, Any]] = {"architecture": {"name": "cnn", "config": {"preset": "small"}}}
SMALL: Final = "small CNN"
NETWORKS: Final[Mapping[str, dict[str, Any]]] = {
    DEFAULT: {},
    SMALL: {"architecture": {"name": "cnn", "config": {"preset": "document", "hidden": 64}}},
}


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
    return train_network(folder, NETWORKS[SMALL], rows=400)


def train_network(folder: Path, options: Mapping[str, Any], *, rows: int) -> Path:
    """Train for an epoch on images of 28 x 28; returns the package's folder."""
    folder.mkdir()
    from pydantic import TypeAdapter

    from ml.data.importing.importer import import_dataset
    from ml.learning.pipeline.train import train
    from ml.spec.schema import Spec
    from ml.tasks import TASKS

    source = table(folder / "pictures.csv", rows=rows)
    report = import_dataset([source], folder / "dataset", task="image_classification", tasks=TASKS)
    assert report.state == "ready", report.errors
    request = {
        "kind": "finetune",
        "dataset": "images",
        "model": "small",
        "task": "image_classification",
        "schedule": {"epochs": 1},
        **options,
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
        return [encode_png(_draw_digit(number)) for number in range(BODIES)], "image/png"
    return [b"P5\n28 28\n255\n" + image.tobytes() for image in images], "image/x-portable-graymap"


def _draw_digit(number: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (28, 28))
    ImageDraw.Draw(canvas).line([(4 + number % 8, 5), (22, 8), (10, 24)], fill=255, width=3)
    return np.asarray(canvas)[:, :, None]


def measure(service: Service) -> Iterable[Figure]:
    """Limits first, then every kind of request, then one connection."""
    limit = no_op(seconds=service.seconds, connections=service.connections).per_cpu_second
    yield Figure("bare ASGI no-op", f"{limit:,.0f}/CPU-s")
    for network, options in NETWORKS.items():
        name = network.replace(" ", "-")
        package = train_network(service.folder / name, options, rows=ROWS)
        service.register(package, name=name)
        costs = {rows: 1e6 / compute_limit(package, rows=rows) for rows in BATCHES}
        aim = "<= 40" if network == DEFAULT else ""
        note = f"{costs[1]:.0f} alone, {costs[64]:.0f} in batches of 64"
        yield Figure(f"{network}, network alone in batches of 8", f"{costs[8]:.1f} us a row", aim=aim, note=note)
        if network == DEFAULT:
            earlier = train_network(service.folder / "earlier", EARLIER, rows=400)
            yield from compare_networks(package, earlier)
        yield from _measure_requests(service, network, serial=1 / (1 / limit + costs[64] / 1e6))
    alone = [no_op(seconds=service.seconds, connections=1).p50_ms for _ in range(3)]
    ours = [drive(service, "raw", model=SMALL.replace(" ", "-"), connections=1).p50_ms for _ in range(3)]
    above = statistics.median(ours) - statistics.median(alone)
    note = f"no-op {statistics.median(alone):.2f} ms"
    yield Figure("one connection, p50 above the no-op", f"{above:+.2f} ms", aim="<= +0.35 ms", note=note)


def compare_networks(package: Path, earlier: Path) -> Iterable[Figure]:
    """Compare the cost of a row of two networks, in turns."""
    for rows in BATCHES[:2]:
        costs = [[1e6 / compute_limit(folder, rows=rows) for folder in (package, earlier)] for _ in range(TURNS)]
        note = f"{min(cost for cost, _ in costs):.0f} and {min(cost for _, cost in costs):.0f} us a row at best"
        work = f"{DEFAULT}, network alone in batches of {rows}, cost of the preset small"
        aim = "<= 0.40" if rows > 1 else ""
        yield Figure.ratio(work, [cost / before for cost, before in costs], aim=aim, note=note)


def _measure_requests(service: Service, network: str, *, serial: float) -> Iterable[Figure]:
    """Measure every kind of request of one row, and one of 64 rows.

    `serial` is how often a CPU-second has time for a no-op and the network.
    """
    name = network.replace(" ", "-")
    for kind in ("json", "base64", "png", "raw"):
        result = drive(service, kind, model=name, connections=service.connections)
        yield Figure(
            f"{network}, {kind}, {service.connections} connections",
            f"{result.per_cpu_second / serial:.0%} of serial",
            aim=f">= {AIMS[kind]:.0%}" if kind in AIMS else "",
            note=f"{result.per_cpu_second:,.0f} of {serial:,.0f}/CPU-s, {result.message}",
        )
    body, headers = tensor_body(random_images(ROWS_OF_TENSOR))
    path = f"/v2/models/{name}/infer"
    result = service.drive(path, [body], "application/octet-stream", connections=4, headers=headers)
    rows = ROWS_OF_TENSOR * result.per_cpu_second
    yield Figure(
        f"{network}, {ROWS_OF_TENSOR} rows in a binary tensor",
        f"{rows:,.0f} rows/CPU-s",
        aim=">= 60,000",
        note=result.message,
    )


def tensor_body(batch: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """Return a request with images as one binary tensor, and its header."""
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(batch.shape)}
    inputs = [{**tensor, "parameters": {"binary_data_size": batch.nbytes}}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + batch.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def drive(service: Service, kind: str, *, model: str, connections: int) -> Load:
    """Requests of a kind to a model."""
    sent, content_type = bodies(kind)
    return service.drive(f"/predict/{model}", sent, content_type, connections=connections)
