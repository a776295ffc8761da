"""Any input to any task is answered, or refused with input, field and hint.

The tasks are those of the registry, the fields those of their inputs: a new one is tested by being there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ml.tasks import TASKS
from ml.tasks.base import StreamingTask
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import register
from tests.support.memory_bound import WAY_NAMES, WAYS, ask
from tests.support.ml import invalid_inputs, packages

pytestmark = pytest.mark.process

JSON = "application/json"
SCHEMAS = {task: packages.input_schema(task) for task in TASKS}
FIELDS = [(task, field) for task in TASKS for field in SCHEMAS[task]["properties"]]
HEAVY = [(task, field) for task, field in FIELDS if invalid_inputs.heavy(SCHEMAS[task]["properties"][field])]

BARE = {
    "nothing": b"",
    "blanks": b" \n\t ",
    "a NUL": b"a\0b",
    "no UTF-8": b"\xff\xfe\x00",
    "noise": bytes(range(256)) * 100,
    "half an image": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "half an audio clip": b"RIFF\xff\xff\xff\xffWAVEfmt ",
}
#: Inputs that both multimodal tasks refuse.
MULTIMODAL: list[tuple[dict[str, Any], str]] = [
    ({}, "at least one part"),
    ({"text": " "}, "more than whitespace"),
    ({"record": {}}, "at least 1"),
    ({"record": {"lenght": 1}}, "length"),
    ({"record": {"length": True}}, "a number"),
    ({"text": "a", "image": "?"}, "base64"),
    ({"text": "a", "audio": "UklGRg=="}, "audio"),
]
#: Invalid inputs that only the task detects, and a part of the message.
TASK_ERRORS = {
    "recommendation": [
        ({"history": "i1"}, "list"),
        ({"history": [["i1"]]}, "history.0"),
        ({"history": ["i1", ""]}, "history.1"),
        ({}, "history"),
    ],
    "content_recommendation": [
        ({"history": ["i1"], "items": [{"item": "x"}]}, "has no text"),
        ({"history": ["i1"], "items": [{"title": "a film"}]}, "items.0"),
        ({"history": ["i1"], "items": {"item": "x"}}, "list"),
    ],
    "speech_synthesis": [
        ({"text": "\N{CJK UNIFIED IDEOGRAPH-4E16}" * 20}, "'\N{CJK UNIFIED IDEOGRAPH-4E16}' (position 1)"),
        ({"text": "".join(map(chr, range(0x4E00, 0x4E30)))}, "and 38 more"),
        ({"text": "old " * 1_000}, "characters; the limit"),
        ({"text": "old", "voice": "nobody"}, "one voice"),
    ],
    "image_text_matching": [
        ({}, "an image, a text or both"),
        ({"candidates": ["a"]}, "an image, a text or both"),
        ({"text": "a", "candidates": []}, "at least 1"),
        ({"text": "a", "candidates": ["a", ""]}, "candidates.1"),
        ({"text": "a", "candidates": ["a", " "]}, "candidates.1"),
        ({"text": " "}, "more than whitespace"),
        ({"text": "a", "candidates": ["a"] * 100_000}, "1,000"),
    ],
    "image_generation": [({"label": "zero"}, "known: 0, 1, 2"), ({"seed": 2**32}, "4,294,967,296")],
    "text_generation": [
        ({"prompt": "a", "messages": []}, "either prompt or messages"),
        ({"messages": [{"role": "owner", "content": "a"}]}, "messages.0.role"),
        ({"stop": ["a", ""]}, "stop.1"),
    ],
    "text_classification": [({"text": ""}, "at least 1"), ({"text": " \n"}, "more than whitespace")],
    "translation": [
        ({"text": "\t"}, "more than whitespace"),
        ({"text": "a", "beams": 33}, "1 to 32"),
        ({"text": "a", "max_length": 0}, "1 to 65,536"),
    ],
    "tabular_classification": [
        ({}, "at least one field"),
        ({"length": True}, "a number"),
        ({"lenght": 1}, "length"),
        ({"site": [1]}, "site"),
    ],
    "multimodal_classification": MULTIMODAL,
    "multimodal_regression": MULTIMODAL,
    "object_detection": [({}, "either image or pixels"), ({"pixels": [[1]], "confidence": 1.5}, "0 to 1")],
}


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        for task in TASKS:
            register(packages.make_untrained(task, folder / task), name=task)
    with api:
        yield api


def good(task: str) -> dict[str, Any]:
    """Return an input with a short, reproducible output."""
    raw_input: dict[str, Any] = TASKS[task].example()[0].model_dump(mode="json", exclude_none=True)
    return raw_input


def by_form(files: list[bytes], parameters: dict[str, Any]) -> tuple[bytes, str]:
    """Return a form as a body and its Content-Type."""
    parameter_part = b'Content-Disposition: form-data; name="parameters"\r\n\r\n' + json.dumps(parameters).encode()
    sent = [b'Content-Disposition: form-data; name="file"; filename="it"\r\n\r\n' + file for file in files]
    parts = b"".join(b"--plinth\r\n" + part + b"\r\n" for part in (*sent, parameter_part))
    return parts + b"--plinth--\r\n", "multipart/form-data; boundary=plinth"


def judge(status: int, answer: Any, place: str, field: str) -> str | None:
    """Return what is wrong with a problem document; None where nothing is."""
    if not 400 <= status < 500:
        return f"answered {status}: {str(answer)[:200]}"
    if len(json.dumps(answer)) > 5_000:
        return f"a problem of {len(json.dumps(answer))} characters"
    for item in answer["errors"]:
        path, words = item.get("path", ""), item["message"]
        # Where several fields must agree, none of them is named alone.
        if not f"{path}.".startswith(f"{place}.{field}.") and not (path == place and field in words):
            return f"does not name {place}.{field}: {item}"
        if not item.get("hint"):
            return f"has no hint: {item}"
    if not answer["errors"] or place not in answer["detail"]:
        return f"does not say where: {answer['detail']}"
    return None


@pytest.mark.parametrize(("task", "field"), FIELDS)
def test_a_field_takes_what_its_schema_allows_and_nothing_else(api: ApiProcess, task: str, field: str) -> None:
    """Values alternate between the fast path and the route."""
    usual, schema = good(task), SCHEMAS[task]
    allows = Draft202012Validator(schema).is_valid
    wrong: dict[str, Any] = {}
    for (name, value), way in zip(invalid_inputs.values(schema, field), cycle(WAYS), strict=False):
        raw_input = {**usual, field: value}
        body = json.dumps({"inputs": [usual, raw_input, usual]}).encode()
        status, answer = ask(api, task, body, JSON, way)
        if status == 200 and allows(raw_input):
            assert len(answer["outputs"]) == 3
        elif fault := judge(status, answer, "inputs.1", field):
            wrong[name] = fault
    assert not wrong


@pytest.mark.parametrize(("task", "field"), FIELDS)
def test_an_invalid_parameter_is_not_reported_as_an_error_of_the_first_input(
    api: ApiProcess, task: str, field: str
) -> None:
    allows = Draft202012Validator({**SCHEMAS[task], "required": []}).is_valid
    inputs = [{name: value for name, value in good(task).items() if name != field}] * 2
    wrong: dict[str, Any] = {}
    refused = [(name, value) for name, value in invalid_inputs.ANYTHING.items() if not allows({field: value})]
    for name, value in refused[::4]:
        body = json.dumps({"inputs": inputs, "parameters": {field: value}}).encode()
        if fault := judge(*ask(api, task, body, JSON, WAYS[0]), "parameters", field):
            wrong[name] = fault
    assert not wrong


@pytest.mark.parametrize(("task", "field"), HEAVY)
def test_parameters_of_a_thousand_inputs_are_limited_before_they_are_read(
    api: ApiProcess, task: str, field: str
) -> None:
    heavy = invalid_inputs.heavy(SCHEMAS[task]["properties"][field])
    body = json.dumps({"inputs": [{}] * 1024, "parameters": {field: heavy}}).encode()
    status, answer = ask(api, task, body, JSON, WAYS[0])
    assert status == 422
    assert answer["errors"][0]["path"] == "parameters"


@pytest.mark.parametrize(("task", "field"), FIELDS)
@pytest.mark.parametrize("value", ["NaN", "[-Infinity]", "1e999", '"\\u0000"', '"\\ud800"'])
def test_a_number_that_json_lacks_is_refused_with_its_place(api: ApiProcess, task: str, field: str, value: str) -> None:
    written = json.dumps(good(task) | {field: "HERE"}).replace('"HERE"', value)
    status, answer = ask(api, task, f'{{"inputs": [{written}]}}'.encode(), JSON, WAYS[0])
    assert status == 422
    assert "JSON" in answer["detail"]


@pytest.mark.parametrize(
    ("task", "raw_input", "words"), [(task, *case) for task, cases in TASK_ERRORS.items() for case in cases]
)
def test_errors_that_only_the_task_detects_are_reported(
    api: ApiProcess, task: str, raw_input: dict[str, Any], words: str
) -> None:
    for way in WAYS:
        status, answer = ask(api, task, json.dumps({"inputs": [good(task), raw_input]}).encode(), JSON, way)
        assert status == 422
        assert words in answer["detail"]
        assert "inputs.1" in answer["detail"]
        assert len(json.dumps(answer)) < 5_000
        assert all(finding["hint"] for finding in answer["errors"])


@pytest.mark.parametrize("task", TASKS)
def test_an_input_has_the_same_output_in_every_format(api: ApiProcess, task: str) -> None:
    kind = TASKS[task].input_type
    seeded = {"seed": 1} if "seed" in kind.model_fields else {}
    usual = good(task) | seeded
    if kind.body is None:
        status, answer = ask(api, task, *by_form([b"anything"], {}), WAYS[0])
        assert status == 422
        assert "reads JSON" in answer["detail"]
        return
    value = usual.pop(kind.body)
    is_file = "base64" in json.dumps(SCHEMAS[task]["properties"][kind.body])
    thing = base64.b64decode(value) if is_file else value.encode()
    media_type = {"image": "image/png", "audio": "audio/wav"}.get(kind.body, "text/plain; charset=utf-8")

    def answer_of(*request: Any) -> Any:
        status, answer = ask(api, task, *request)
        assert status == 200, answer
        return answer["outputs"]

    for parameters in (seeded, usual):
        request = {"inputs": [{kind.body: value}] * 2, "parameters": parameters}
        for way in WAYS:
            in_json = answer_of(json.dumps(request).encode(), JSON, way)
            assert _alike(answer_of(*by_form([thing] * 2, parameters), way), in_json)
            if not parameters:
                assert _alike(answer_of(thing, media_type, way), in_json[:1])


@pytest.mark.parametrize("kind", ["image/png", "audio/wav", "text/plain"])
@pytest.mark.parametrize("task", TASKS)
def test_a_raw_body_is_answered_or_reported_as_the_only_input(api: ApiProcess, task: str, kind: str) -> None:
    for body, way in zip(BARE.values(), cycle(WAYS), strict=False):
        status, answer = ask(api, task, body, kind, way)
        if status != 200:
            assert status == 422, answer
            assert all(finding["path"].startswith("inputs.0") and finding["hint"] for finding in answer["errors"])
            assert "inputs.0" in answer["detail"]


@pytest.mark.parametrize("task", [task for task, kind in TASKS.items() if issubclass(kind, StreamingTask)])
def test_a_stream_starts_only_after_its_input_was_read(api: ApiProcess, task: str) -> None:
    for raw_input in ({"nonsense": 1}, {next(iter(good(task))): [[]]}):
        status, answer = ask(
            api, task, json.dumps({"inputs": [raw_input]}).encode(), JSON, {"Accept": "text/event-stream"}
        )
        assert status == 422
        assert answer["errors"][0]["path"].startswith("inputs.0.")


def test_a_history_of_nothing_but_unknown_items_is_that_of_somebody_new(api: ApiProcess) -> None:
    body = json.dumps({"inputs": [{"history": ["?"] * 100_000}, {"history": []}]}).encode()
    status, answer = ask(api, "recommendation", body, JSON, WAYS[0])
    assert status == 200
    strange, new = answer["outputs"]
    assert strange.pop("unknown") == 100_000
    assert _alike(strange, {name: new[name] for name in strange})


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("task", TASKS)
def test_unknown_fields_are_reported_with_the_known_ones_however_many_they_are(
    api: ApiProcess, task: str, way: dict[str, str]
) -> None:
    names = list(SCHEMAS[task]["properties"])
    many = {f"f{number}": 0 for number in range(2_000 if way else 500)}
    for foreign in ({names[0] + "s": 1}, {"y" * 50_000: 1}, many):
        body = json.dumps({"inputs": [good(task), good(task) | foreign]}).encode()
        status, answer = ask(api, task, body, JSON, way)
        assert status == 422
        assert names[0] in answer["detail"]
        assert len(json.dumps(answer)) < 5_000
        assert answer["errors"][0]["path"].startswith(f"inputs.1.{next(iter(foreign))[:20]}")
        assert all(finding["hint"] for finding in answer["errors"])


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("task", TASKS)
def test_no_parameter_is_an_error_of_ours(api: ApiProcess, task: str, way: dict[str, str]) -> None:
    for parameters in ({"return": "embedding"}, {"return": "x" * 9_000}, {"return": [1]}, {"x" * 9_000: 1}):
        body = json.dumps({"inputs": [good(task)], "parameters": parameters}).encode()
        status, answer = ask(api, task, body, JSON, way)
        if status != 200 or parameters != {"return": "embedding"}:
            assert status == 422, answer
            assert answer["errors"][0]["path"].startswith(f"parameters.{next(iter(parameters))[:20]}")
            assert answer["errors"][0]["hint"]
            assert len(json.dumps(answer)) < 5_000


def test_the_example_of_a_task_is_listed_only_if_its_models_read_it(api: ApiProcess) -> None:
    _, _, body = api.request("GET", "/predict?limit=100", headers={})
    examples = {model["model"]: model["example"] for model in json.loads(body)["data"]}
    for task in TASKS:
        if TASKS[task].input_type.model_json_schema().get("properties"):
            assert examples[task]["input"] == good(task)
        else:
            assert examples[task] is None


@pytest.mark.parametrize("task", TASKS)
def test_concurrent_requests_are_answered_as_if_they_were_alone(api: ApiProcess, task: str) -> None:
    """Concurrent requests, so that they share batches."""
    usual, kind = good(task), TASKS[task].input_type
    seeded = {"seed": 1} if "seed" in kind.model_fields else {}
    right = json.dumps({"inputs": [usual | seeded]}).encode()
    field = next(iter(usual))
    wrong = [json.dumps({"inputs": [usual, usual | fields]}).encode() for fields in ({field: [[]]}, {"nonsense": 1})]

    def one(number: int) -> tuple[int, bytes]:
        body = wrong[number % 2] if number % 3 == 0 else right
        headers = {"Content-Type": JSON, **WAYS[number % 2]}
        status, _, answer = api.request("POST", f"/predict/{task}", headers=headers, body=body)
        return status, answer

    alone = one(1)
    assert alone[0] == 200
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(one, range(24)))
    assert {status for status, _ in responses[::3]} == {422}
    beside = [json.loads(answer)["outputs"] for number, (_, answer) in enumerate(responses) if number % 3]
    assert all(_alike(outputs, json.loads(alone[1])["outputs"]) for outputs in beside)


def _alike(one: Any, other: Any) -> bool:
    """Return whether outputs are equal, except for rounding; files are compared by length."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float):
        return one == pytest.approx(other, abs=1e-4)
    return len(one) == len(other) if isinstance(one, str) and len(one) > 100 else one == other
