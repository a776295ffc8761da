"""The fast path and the route say alike how much of a text was read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import register
from tests.support.ml import packages

pytestmark = pytest.mark.process

#: A header that the fast path does not know sends a request to the route.
ROUTE = {"X-Anything": "unusual"}
#: Cut in its batch; cut when it is read, on the event loop and in a thread.
LENGTHS = {"long": 40, "very long": 300, "large": 8_000, "larger than the fast path takes": 20_000}

#: Words that all windows of a text read together.
MAX_READ_WORDS = 2_000


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api = ApiProcess(new_home())
    with homes.use_home(api.home):
        register(
            packages.make_untrained("text_classification", tmp_path_factory.mktemp("package") / "texts"), name="texts"
        )
    with api:
        yield api


def ask(api: ApiProcess, request: Any, *, more: dict[str, str] | None = None) -> list[dict[str, Any]]:
    headers = {"Content-Type": "application/json", **(more or {})}
    status, _, body = api.request("POST", "/predict/texts", headers=headers, body=json.dumps(request).encode())
    assert status == 200, body
    outputs: list[dict[str, Any]] = json.loads(body)["outputs"]
    return outputs


@pytest.mark.parametrize("words", list(LENGTHS.values()), ids=list(LENGTHS))
@pytest.mark.parametrize("mode", ["cut", "windows"])
@pytest.mark.parametrize("output", [None, "embedding"])
def test_both_ways_say_how_much_of_a_text_was_read(api: ApiProcess, words: int, mode: str, output: str | None) -> None:
    inputs = [{"text": "a quiet film " * (words // 3) + "dull"}, {"text": "dull"}]
    parameters = {"long_texts": mode} | ({"return": output} if output else {})
    for count in (1, 2):
        request = {"inputs": inputs[:count], "parameters": parameters}
        fast, by_route = ask(api, request), ask(api, request, more=ROUTE)
        assert fast == by_route
        assert len(fast) == count
        expected = {"truncated"} if mode == "cut" or words > MAX_READ_WORDS else {"windows"}
        assert expected <= fast[0].keys()
        assert ("windows" in fast[0]) == (mode == "windows")
    assert "truncated" not in fast[1]


def test_a_text_without_end_is_read_in_a_limited_number_of_windows(api: ApiProcess) -> None:
    (output,) = ask(api, {"inputs": [{"text": "a quiet film " * 20_000, "long_texts": "windows"}]})
    assert output["windows"] == 256
    assert 0 < output["truncated"]["kept"] < output["truncated"]["of"]


def test_an_answer_agrees_with_the_schemas_of_the_model(api: ApiProcess) -> None:
    status, _, body = api.request("GET", "/api/v1/models/texts/versions/1/signature")
    assert status == 200
    signature = json.loads(body)
    assert signature["input_schema"]["properties"]["long_texts"]["enum"] == ["cut", "windows"]
    assert {"truncated", "windows"} <= signature["output_schema"]["properties"].keys()


def test_another_way_to_read_a_long_text_is_refused_with_the_known_ones(api: ApiProcess) -> None:
    request = json.dumps({"inputs": [{"text": "a film"}], "parameters": {"long_texts": "window"}}).encode()
    status, _, body = api.request("POST", "/predict/texts", headers={"Content-Type": "application/json"}, body=request)
    assert status == 422
    (error,) = json.loads(body)["errors"]
    assert error["path"] == "parameters.long_texts"
    assert "windows" in error["expected"]
