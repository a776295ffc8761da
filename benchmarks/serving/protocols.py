"""CPU time of a request by each protocol, beside native JSON, in turns.

The protocols of images and of any model ask the small CNN; those of texts ask a small classifier of texts, untrained.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.serving import images
from benchmarks.serving.service import Figure, Service
from ml.data.files.images import encode_png

ROUNDS: Final = 3
JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"
#: Rows of the requests with tensors.
TENSOR_ROWS: Final = 64
#: More would fill the queue of the model.
TENSOR_CONNECTIONS: Final = 4
SENTENCES: Final = tuple(
    f"a {mood} {kind}" for mood in ("quiet", "loud", "moving", "dull") for kind in ("film", "song", "river", "new old")
)


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request, which is sent with several bodies in turn."""

    name: str
    path: str
    bodies: list[bytes]
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


def measure(service: Service) -> Iterable[Figure]:
    """Groups of requests with the same inputs, then tensors of many rows.

    The first request of a group is native JSON.
    """
    from tests.support.ml import packages

    service.register(images.small_network(service.folder / "pictures"), name="small")
    service.register(packages.untrained("text_classification", service.folder / "texts").directory, name="texts")
    for group in (pixel_calls(), file_calls(), text_calls(), embedding_calls()):
        native, *calls = group
        costs = cpu_ms(service, group, connections=service.connections)
        yield Figure(native.name, f"{median(costs[native.name]):.3f} CPU-ms")
        for call in calls:
            ratios = [cost / base for cost, base in zip(costs[call.name], costs[native.name], strict=True)]
            note = f"{median(costs[call.name]):.3f} CPU-ms; {min(ratios):.2f} to {max(ratios):.2f} in {ROUNDS} turns"
            yield Figure(f"{call.name}, of native JSON", f"{median(ratios):.2f} x", aim="<= 1.3", note=note)
    rows, tensors = tensor_calls()
    costs = cpu_ms(service, [rows, tensors], connections=TENSOR_CONNECTIONS)
    ratios = [slow / fast for slow, fast in zip(costs[rows.name], costs[tensors.name], strict=True)]
    per_second = {call.name: TENSOR_ROWS / median(costs[call.name]) * 1000 for call in (rows, tensors)}
    note = f"{per_second[tensors.name]:,.0f} and {per_second[rows.name]:,.0f} rows/CPU-s"
    yield Figure(f"{tensors.name}, rows of native JSON", f"{median(ratios):.2f} x", aim=">= 2", note=note)


def cpu_ms(service: Service, calls: list[Call], *, connections: int) -> dict[str, list[float]]:
    """Return the CPU milliseconds of the service for one request of each call, in turns."""
    costs: dict[str, list[float]] = {call.name: [] for call in calls}
    for _ in range(ROUNDS):
        for call in calls:
            load = service.drive(
                call.path, call.bodies, call.content_type, connections=connections, headers=call.headers
            )
            assert not load.failed, f"{call.name}: {load.failed} of {load.requests} failed"
            costs[call.name].append(1000 / load.per_cpu_second)
    return costs


def pixel_calls() -> list[Call]:
    """One image as pixels."""
    pixels = [image.tolist() for image in images.random_images(images.BODIES)]
    instances = [encoded({"instances": [{"pixels": image}]}) for image in pixels]
    tensors = [
        encoded({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 28, 28], "data": image}]})
        for image in pixels
    ]
    return [
        Call("native JSON, pixels", "/predict/small", [encoded({"inputs": [{"pixels": image}]}) for image in pixels]),
        Call("SageMaker", "/invocations", instances, headers={"X-Amzn-SageMaker-Target-Model": "small"}),
        Call("TF Serving", "/v1/models/small:predict", instances),
        Call("TorchServe", "/predictions/small", [encoded({"pixels": image}) for image in pixels]),
        Call("Open Inference Protocol, JSON", "/v2/models/small/infer", tensors),
    ]


def file_calls() -> list[Call]:
    """One image as PNG in base64."""
    files = [base64.b64encode(encode_png(image[:, :, None])).decode() for image in images.random_images(images.BODIES)]
    criteria = {str(label): None for label in range(10)}
    question = {"type": "choice", "instructions": "Which digit?", "criteria": criteria}
    choices = [{"value": label} for label in criteria]
    questions = [{"type": "choice", "name": "digit", "instructions": "Which digit?", "choices": choices}]
    states = [{"image": f"data:image/png;base64,{file}"} for file in files]
    parts = [[{"type": "input_image", "image_url": state["image"]}] for state in states]
    messages = [[{"role": "user", "content": part}] for part in parts]
    return [
        Call("native JSON, image", "/predict/small", [encoded({"inputs": [{"image": file}]}) for file in files]),
        Call("Hugging Face, image", "/hf/small", [encoded({"inputs": file}) for file in files]),
        Call(
            "OpenAI decisions, image",
            "/v1/decisions",
            [encoded({"model": "small", "input": message, "questions": questions}) for message in messages],
        ),
        Call(
            "System One, image",
            "/v1/systemone",
            [encoded({"model": "small", "state": state, "questions": {"digit": question}}) for state in states],
        ),
    ]


def text_calls() -> list[Call]:
    """One text to classify."""
    question = {"type": "choice", "instructions": "How severe?", "criteria": {"0": None, "1": None, "2": None}}
    choices = [{"value": label} for label in ("0", "1", "2")]
    questions = [{"type": "choice", "name": "severity", "instructions": "How severe?", "choices": choices}]
    return [
        Call("native JSON, text", "/predict/texts", [encoded({"inputs": [{"text": text}]}) for text in SENTENCES]),
        Call("Hugging Face, text", "/hf/texts", [encoded({"inputs": text}) for text in SENTENCES]),
        Call(
            "OpenAI moderations",
            "/v1/moderations",
            [encoded({"model": "texts", "input": text, "harmless": ["0"]}) for text in SENTENCES],
        ),
        Call(
            "OpenAI decisions, text",
            "/v1/decisions",
            [encoded({"model": "texts", "input": text, "questions": questions}) for text in SENTENCES],
        ),
        Call(
            "System One, text",
            "/v1/systemone",
            [encoded({"model": "texts", "state": text, "questions": {"severity": question}}) for text in SENTENCES],
        ),
    ]


def embedding_calls() -> list[Call]:
    """One text to embed."""
    parameters = {"return": "embedding"}
    native = [encoded({"inputs": [{"text": text}], "parameters": parameters}) for text in SENTENCES]
    fields = {"model": "texts", "encoding_format": "base64"}
    return [
        Call("native JSON, embedding", "/predict/texts", native),
        Call("OpenAI embeddings", "/v1/embeddings", [encoded({**fields, "input": text}) for text in SENTENCES]),
        Call("text-embeddings-inference", "/hf/texts/embed", [encoded({"inputs": text}) for text in SENTENCES]),
    ]


def tensor_calls() -> tuple[Call, Call]:
    """Many images as JSON rows, and as one binary tensor."""
    batch = images.random_images(TENSOR_ROWS)
    rows = encoded({"inputs": [{"pixels": image.tolist()} for image in batch]})
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(batch.shape)}
    head = encoded(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": batch.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    return (
        Call(f"native JSON, {TENSOR_ROWS} rows", "/predict/small", [rows]),
        Call(
            f"Open Inference Protocol, binary, {TENSOR_ROWS} rows",
            "/v2/models/small/infer",
            [head + batch.tobytes()],
            BINARY_TYPE,
            {"Inference-Header-Content-Length": str(len(head))},
        ),
    )


def encoded(value: Any) -> bytes:
    """Return a body as clients write it."""
    return json.dumps(value).encode()
