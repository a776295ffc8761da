"""Takes a snapshot of the behavior of one checkout, through its public interfaces.

    python -m tools.behavior_snapshot [--checkout DIR] > snapshot.json

It holds the OpenAPI document, the catalog, metric names, error codes, the weights of three tiny runs, some twenty
answers of `/predict`, and what a start of the API process costs. `tools.compare_behavior` compares two of them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import struct
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.behavior import error_codes, tiny_data
from tools.behavior.checkout import Answer, Checkout, Service, medians, metric_names

STARTS = 5
JOB_SECONDS = 180.0
POLL_SECONDS = 0.2
API = "/api/v1"
WEIGHTS = "weights.safetensors"
PROBLEM = "application/problem+json"
#: Fields of a problem document that are written for people.
PROSE = frozenset({"detail", "message", "hint", "expected"})
VOLATILE = re.compile(r"request_id|.*_at|.*_seconds")

RUNS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "stripes": (
        tiny_data.stripes,
        {
            "kind": "finetune",
            "task": "image_classification",
            "architecture": {"name": "cnn", "config": {"stages": [[4], [8]]}},
            "schedule": {"epochs": 3, "batch_size": 16, "precision": "float32"},
        },
    ),
    "sentences": (
        tiny_data.sentences,
        {
            "kind": "finetune",
            "task": "text_generation",
            "architecture": {"name": "gpt", "config": {"width": 16, "layers": 1, "heads": 2}},
            "encoders": {"text": {"vocabulary_size": 280, "max_length": 32}},
            "schedule": {"epochs": 3, "batch_size": 16, "precision": "float32"},
        },
    ),
    "clips": (
        tiny_data.clips,
        {
            "kind": "finetune",
            "task": "speech_recognition",
            "architecture": {"name": "rnn", "config": {"width": 16}},
            "schedule": {"epochs": 3, "batch_size": 8, "precision": "float32"},
        },
    ),
}


@dataclass(frozen=True)
class Question:
    """One request to `/predict`."""

    model: str
    body: bytes
    content_type: str
    accept: str = "application/json"
    #: Whether the service draws a seed of its own: of such outputs only the types are compared.
    is_random: bool = False

    @classmethod
    def json(cls, model: str, document: Any, *, accept: str = "application/json") -> Question:
        """A JSON body."""
        return cls(model, json.dumps(document).encode(), "application/json", accept)


def questions() -> dict[str, Question]:
    """Requests with every form of body, for three tasks, and requests that are refused."""
    first_image, second_image = tiny_data.image("rows", 100), tiny_data.image("columns", 101)
    clip = tiny_data.clip("abab", 100)
    encoded = base64.b64encode(first_image).decode()
    pixels = [[(row * 20 + column) % 256 for column in range(12)] for row in range(12)]
    writing = {"prompt": "the old", "max_new_tokens": 8, "temperature": 0.8, "seed": 1}
    form = _form({"file": first_image}, {"file": second_image}, {"parameters": b'{"return": "embedding"}'})
    return {
        "image as JSON": Question.json("stripes", {"inputs": [{"image": encoded}]}),
        "pixels as JSON": Question.json("stripes", {"inputs": [{"pixels": pixels}, {"image": encoded}]}),
        "image as it is": Question("stripes@1", first_image, "image/png"),
        "images of a form, embedded": Question("stripes", form, f"multipart/form-data; boundary={BOUNDARY}"),
        "embedding": Question.json("stripes", {"inputs": [{"image": encoded}], "parameters": {"return": "embedding"}}),
        "prompt as JSON": Question.json("sentences", {"inputs": [writing]}),
        "greedy prompts": Question.json(
            "sentences",
            {"inputs": [{"prompt": text, "max_new_tokens": 5, "temperature": 0, "seed": 1} for text in ("a", "sea")]},
        ),
        "text as it is": Question("sentences", b"the long story", "text/plain", is_random=True),
        "stream": Question.json("sentences", {"inputs": [writing]}, accept="text/event-stream"),
        "audio as it is": Question("clips", clip, "audio/wav"),
        "audio as JSON": Question.json("clips", {"inputs": [{"audio": base64.b64encode(clip).decode()}] * 2}),
        "no such model": Question.json("stripe", {"inputs": [{"image": encoded}]}),
        "no such field": Question.json("stripes", {"inputs": [{"imag": encoded}]}),
        "no inputs": Question.json("stripes", {"inputs": []}),
        "not JSON": Question("stripes", b'{"inputs": [', "application/json"),
        "not an image": Question("stripes", first_image[:40], "image/png"),
        "unknown parameter": Question.json("sentences", {"inputs": [writing], "parameters": {"topk": 3}}),
        "unsupported type": Question("stripes", b"a: 1", "application/yaml"),
        "cannot stream": Question.json("stripes", {"inputs": [{"image": encoded}]}, accept="text/event-stream"),
    }


BOUNDARY = "boundary-of-a-form"


def _form(*parts: Mapping[str, bytes]) -> bytes:
    lines: list[bytes] = []
    for part in parts:
        [(name, content)] = part.items()
        file = '; filename="input.png"' if name == "file" else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        lines += [head.encode(), content, b"\r\n"]
    return b"".join([*lines, f"--{BOUNDARY}--\r\n".encode()])


def snapshot(checkout: Checkout, *, starts: int = STARTS) -> dict[str, Any]:
    """Everything; takes a minute or two."""
    with checkout.running() as service:
        facts = _facts_of(service)
    [catalog] = checkout.directory.glob("ml/**/catalog.json")
    codes = {*error_codes.in_source(checkout.directory), *error_codes.in_openapi(facts["openapi"])}
    content = json.loads(catalog.read_bytes())
    served = facts.pop("served_catalog")
    return {
        **facts,
        "catalog": content,
        "served_catalog": {name: entry for name, entry in served.items() if entry != content.get(name)},
        "error_codes": sorted(codes),
        "start": medians([checkout.start_api() for _ in range(starts)]) if starts else None,
    }


def _facts_of(service: Service) -> dict[str, Any]:
    runs = {name: _train(service, name, data(), spec) for name, (data, spec) in RUNS.items()}
    # Twice: the first loads the model and goes through the application, the second may take the fast path.
    first, second = ({name: _record(service, question) for name, question in questions().items()} for _ in range(2))
    return {
        "openapi": service.get("/openapi.json"),
        "served_catalog": service.get(f"{API}/catalog"),
        "runs": runs,
        "predictions": {name: {**first[name], "same_again": second[name] == first[name]} for name in first},
        "metrics": metric_names(service.get_text("/metrics")),
    }


def _train(service: Service, name: str, data: tuple[str, bytes], spec: Mapping[str, Any]) -> dict[str, Any]:
    filename, content = data
    form = _form({"name": name.encode()}).removesuffix(f"--{BOUNDARY}--\r\n".encode())
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    body = b"".join([form, head.encode(), content, f"\r\n--{BOUNDARY}--\r\n".encode()])
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    dataset = service.request("POST", f"{API}/datasets", body, Content_Type=kind).json()
    dataset = _until(service, f"{API}/datasets/{dataset['id']}", "ready", ("rejected",))
    full = {**spec, "dataset": name, "model": name, "seed": 1}
    resolved = service.post(f"{API}/jobs?validate_only=true", full)["spec"]
    job = service.post(f"{API}/jobs", full)
    _until(service, f"{API}/jobs/{job['id']}", "succeeded", ("failed", "cancelled"))
    model = service.get(f"{API}/models/{name}/versions/1")
    package = service.request("GET", f"{API}/models/{name}/versions/1/download").body
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        [member] = [file for file in archive.namelist() if file.endswith(WEIGHTS)]
        weights = archive.read(member)
    return {
        "resolved_spec": resolved,
        "dataset_digest": dataset["digest"],
        "metrics": model["metrics"],
        "weights_sha256": _digest(weights),
        "tensors": _tensors(weights),
    }


def _until(service: Service, path: str, state: str, bad: tuple[str, ...]) -> Any:
    deadline = time.monotonic() + JOB_SECONDS
    while (document := service.get(path))["state"] != state:
        if document["state"] in bad or time.monotonic() > deadline:
            raise RuntimeError(f"{path} is not {state}: {json.dumps(document)[:2000]}")
        time.sleep(POLL_SECONDS)
    return document


def _record(service: Service, question: Question) -> dict[str, Any]:
    path = f"/predict/{question.model}"
    headers = {"Content_Type": question.content_type, "Accept": question.accept}
    answer = service.request("POST", path, question.body, **headers)
    body = _types(_body(answer)) if question.is_random else _body(answer)
    return {
        "status": answer.status,
        "headers": sorted(answer.headers),
        "content_type": answer.headers.get("content-type"),
        "body": body,
        "sha256": digest(body),
    }


def digest(value: Any) -> str:
    """The sha256 of a JSON value in one fixed form."""
    return _digest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _body(answer: Answer) -> Any:
    """The body without request ids, dates and durations; problem documents also without their prose."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "text/event-stream":
        lines = answer.body.decode().splitlines()
        return [_steady(json.loads(line[5:])) if line.startswith("data:") else line for line in lines]
    if kind in ("application/json", PROBLEM):
        return _steady(answer.json(), without=PROSE if kind == PROBLEM else frozenset())
    return _digest(answer.body)


def _steady(value: Any, *, without: frozenset[str] = frozenset()) -> Any:
    if isinstance(value, dict):
        fields = {name: entry for name, entry in value.items() if not VOLATILE.fullmatch(name) and name not in without}
        return {name: _steady(entry, without=without) for name, entry in fields.items()}
    return [_steady(entry, without=without) for entry in value] if isinstance(value, list) else value


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _types(entry) for name, entry in value.items()}
    return [_types(entry) for entry in value] if isinstance(value, list) else type(value).__name__


def _tensors(content: bytes) -> dict[str, str]:
    """Name -> dtype, shape and sha256 of the values, of a safetensors file."""
    [length] = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: f"{entry['dtype']} {entry['shape']} {_digest(data[slice(*entry['data_offsets'])])}"
        for name, entry in header.items()
    }


def main() -> int:
    """Write the snapshot of `--checkout` to standard output."""
    parser = argparse.ArgumentParser(description="Snapshot of what a checkout does.")
    parser.add_argument("--checkout", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--starts", type=int, default=STARTS, help="starts of the API process to measure")
    options = parser.parse_args()
    facts = snapshot(Checkout(options.checkout), starts=options.starts)
    sys.stdout.write(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
