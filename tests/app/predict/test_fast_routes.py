"""Usual requests of protocols get the same response on both paths."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from app.main import fast_routes
from app.settings import AppSettings
from ml.encoders import ENCODERS
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import SIDE, embedder, png, register, shades
from tests.support.ml import packages

pytestmark = pytest.mark.process

#: A header that the fast path does not know sends a request to the route.
ROUTE: Final = {"X-Anything": "unusual"}
JSON: Final = "application/json"
PIXELS: Final = [[7] * SIDE] * SIDE
FILE: Final = base64.b64encode(png(200)).decode()
TENSOR: Final = {"name": "pixels", "datatype": "UINT8", "shape": [2, SIDE, SIDE]}
#: Members that differ between two answers.
VARYING: Final = re.compile(rb'"(?:request_id|id)":"[^"]*"')


class Call(NamedTuple):
    """A request, as JSON values or bytes."""

    path: str
    body: Any
    content_type: str = JSON
    headers: Mapping[str, str] = {}


def binary(parameters: dict[str, Any]) -> Call:
    pixels = np.full((2, SIDE, SIDE), 7, np.uint8).tobytes()
    tensor = {**TENSOR, "parameters": {"binary_data_size": len(pixels)}}
    head = json.dumps({"id": "a", "inputs": [tensor], "parameters": parameters}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return Call("/v2/models/shades/infer", head + pixels, "application/octet-stream", headers)


TARGET: Final = {"X-Amzn-SageMaker-Target-Model": "shades"}
#: Answered by the fast path.
ANSWERED: Final[dict[str, Call]] = {
    "TF Serving": Call("/v1/models/shades:predict", {"instances": [{"pixels": PIXELS}, PIXELS]}),
    "TF Serving by column": Call("/v1/models/shades@1:predict", {"inputs": {"pixels": [PIXELS]}}),
    "SageMaker": Call("/invocations", {"instances": [{"image": FILE}]}, headers=TARGET),
    "SageMaker, inputs": Call("/invocations", {"inputs": [{"image": FILE}]}, headers=TARGET),
    "SageMaker, an image": Call("/invocations", png(5), "image/png", TARGET),
    "MLflow": Call("/invocations", {"dataframe_split": {"columns": ["pixels"], "data": [[PIXELS]]}}, headers=TARGET),
    "TorchServe": Call("/predictions/shades", {"pixels": PIXELS}),
    "TorchServe, an image": Call("/predictions/shades", png(5), "application/octet-stream"),
    "tensors": Call("/v2/models/shades/infer", {"inputs": [{**TENSOR, "data": [PIXELS, PIXELS]}]}),
    "binary tensors": binary({}),
    "binary tensors both ways": binary({"binary_data_output": True}),
    "an unknown output": Call(
        "/v2/models/shades/infer",
        {"inputs": [{**TENSOR, "data": [PIXELS, PIXELS]}], "outputs": [{"name": "lable"}]},
    ),
    "Hugging Face": Call("/hf/shades", {"inputs": FILE, "parameters": {"top_k": 1}}),
    "Hugging Face, an image": Call("/hf/shades", png(5), "image/png"),
    "Hugging Face, texts": Call("/hf/reviews", {"inputs": ["a film", "a song"]}),
    "Hugging Face, features": Call("/hf/embedder/pipeline/feature-extraction", {"inputs": "a film"}),
    "Hugging Face, similarity": Call(
        "/hf/embedder/pipeline/sentence-similarity",
        {"inputs": {"source_sentence": "a film", "sentences": ["a song"]}},
    ),
    "text-embeddings-inference": Call("/hf/embedder/embed", {"inputs": ["a film", "a song"]}),
    "ranks of text-embeddings-inference": Call(
        "/hf/embedder/rerank", {"query": "a film", "texts": ["a song", "a film"]}
    ),
    "classes of text-embeddings-inference": Call("/hf/reviews/predict", {"inputs": "a film"}),
    "similarity": Call("/hf/embedder/similarity", {"inputs": {"source_sentence": "a film", "sentences": ["a song"]}}),
}
QUESTION: Final = {"type": "choice", "instructions": "Which?", "criteria": {"dark": None, "light": "of the day"}}
CHOICES: Final = [{"value": "dark"}, {"value": "light"}]
DECISION: Final = {"type": "choice", "name": "shade", "instructions": "Which?", "choices": CHOICES}
MESSAGES: Final = [{"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{FILE}"}]}]
LEVEL: Final = {"type": "score", "instructions": "How severe?", "criteria": ["0", "1", "2"]}
ANSWERED.update(
    {
        "embeddings": Call("/v1/embeddings", {"model": "embedder", "input": ["a film", "a song"]}),
        "embeddings in base64": Call(
            "/v1/embeddings",
            {"model": "embedder@1", "input": "a film", "encoding_format": "base64"},
            headers={"X-Stainless-Lang": "python"},
        ),
        "moderations": Call("/v1/moderations", {"model": "reviews", "input": "a film", "harmless": ["0"]}),
        "labels of unknown harm": Call("/v1/moderations", {"model": "reviews", "input": "a film"}),
        "System One": Call(
            "/v1/systemone", {"model": "reviews", "state": "a film", "questions": {"level": LEVEL, "again": LEVEL}}
        ),
        "System One, an image": Call(
            "/v1/systemone", {"model": "shades", "state": {"image": FILE}, "questions": {"shade": QUESTION}}
        ),
        "System One, unknown classes": Call(
            "/v1/systemone", {"model": "reviews", "state": "a film", "questions": {"shade": QUESTION}}
        ),
        "decisions": Call("/v1/decisions", {"model": "shades", "input": MESSAGES, "questions": [DECISION]}),
        "decisions, unknown classes": Call(
            "/v1/decisions", {"model": "reviews", "input": "a film", "questions": [DECISION]}
        ),
    }
)
REFUSED: Final = ("an unknown output", "labels of unknown harm", "System One, unknown classes")
NESTED: Final = b"[" * 950 + b"]" * 950
#: Left to the route.
LEFT: Final[dict[str, Call]] = {
    "a wrong form": Call("/v1/models/shades:predict", {"instance": [{"pixels": PIXELS}]}),
    "a row that is no input": Call("/v1/models/shades:predict", {"instances": [{"pixels": "x"}]}),
    "an unknown model": Call("/v1/models/nothing:predict", {"instances": [{"pixels": PIXELS}]}),
    "no target": Call("/invocations", {"instances": [{"pixels": PIXELS}]}),
    "a table": Call("/invocations", b"a,b\n1,2\n", "text/csv", TARGET),
    "NaN": Call("/invocations", b'{"instances": [{"pixels": NaN}]}', headers=TARGET),
    "a body that is no JSON": Call("/predictions/shades", b"{"),
    "a wrong tensor": Call("/v2/models/shades/infer", {"inputs": [{**TENSOR, "data": [1]}]}),
    "a deadline": Call(
        "/v2/models/shades/infer",
        {"inputs": [{**TENSOR, "data": [PIXELS, PIXELS]}], "parameters": {"timeout": 10**7}},
    ),
    "a wrong size of the JSON": binary({})._replace(headers={"Inference-Header-Content-Length": "7"}),
    "an unknown parameter": Call("/hf/shades", {"inputs": FILE, "parameters": {"topk": 1}}),
    "token ids": Call("/v1/embeddings", {"model": "embedder", "input": [1, 2]}),
    "a long text": Call("/v1/embeddings", {"model": "embedder", "input": "a film " * 1000}),
    "a model that flags nothing": Call("/v1/moderations", {"model": "embedder", "input": "a film"}),
    "any model": Call("/v1/systemone", {"state": "a film", "questions": {"level": LEVEL}}),
    "a model that compares texts": Call(
        "/v1/decisions", {"model": "embedder", "input": "a film", "questions": [DECISION]}
    ),
    "no inputs": Call("/hf/reviews", {"text": "a film"}),
    "JSON that is nested deeply": Call("/predictions/films", b'{"items": [{"item": "x", "title": %s}]}' % NESTED),
}


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        register(shades(folder / "shades"), name="shades")
        register(packages.make_untrained("text_classification", folder / "reviews"), name="reviews")
        register(packages.make_untrained("content_recommendation", folder / "films"), name="films")
        text = ENCODERS["text"].learn(["a quiet film", "a loud song"], {"max_length": 8})
        register(embedder(folder / "embedder", "text", text), name="embedder")
    with api:
        yield api


def ask(api: ApiProcess, call: Call, more: Mapping[str, str] = {}) -> tuple[int, dict[str, str], bytes]:
    body = call.body if isinstance(call.body, bytes) else json.dumps(call.body).encode()
    headers = {"Content-Type": call.content_type, **call.headers, **more}
    status, received, answer = api.request("POST", call.path, headers=headers, body=body)
    varying = ("date", "x-request-id", "content-length")
    return status, {name: value for name, value in received.items() if name not in varying}, VARYING.sub(b"", answer)


def fast_answers(api: ApiProcess) -> float:
    text = api.request("GET", "/metrics")[2].decode()
    lines = [line for line in text.splitlines() if line.startswith("plinth_fast_path_requests_total")]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.mark.parametrize("name", ANSWERED)
def test_a_usual_request_takes_the_fast_path_and_gets_the_response_of_its_route(api: ApiProcess, name: str) -> None:
    call = ANSWERED[name]
    by_route = ask(api, call, ROUTE)
    before = fast_answers(api)
    assert ask(api, call) == by_route
    assert fast_answers(api) == before + 1
    assert by_route[0] == (422 if name in REFUSED else 200), by_route


@pytest.mark.parametrize("name", LEFT)
def test_an_unusual_request_is_judged_by_its_route(api: ApiProcess, name: str) -> None:
    call = LEFT[name]
    by_route = ask(api, call, ROUTE)
    before = fast_answers(api)
    assert ask(api, call) == by_route
    assert fast_answers(api) == before


def test_every_path_of_a_protocol_is_requested_here() -> None:
    routes = fast_routes(AppSettings())
    for route in routes:
        assert any(route.pattern.fullmatch(call.path.encode()) for call in ANSWERED.values()), route.template


def test_metrics_name_the_route_of_the_protocol(api: ApiProcess) -> None:
    ask(api, ANSWERED["TF Serving"])
    text = api.request("GET", "/metrics")[2].decode()
    assert 'route="/v1/models/{model}:predict"' in text
