"""A service with models for the clients of the OpenAI protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import openai
import pytest

from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import register, shades, writer
from tests.support.ml import packages

#: Names of all models of the service.
MODELS: Final = ("drawings", "reader", "reviews", "shades", "speech", "stories", "voices")


@pytest.fixture(scope="package")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        register(packages.make_untrained("text_classification", folder / "reviews"), name="reviews")
        register(writer(folder / "stories", context=128), name="stories")
        register(shades(folder / "shades"), name="shades")
        register(packages.make_untrained("speech_recognition", folder / "speech"), name="speech")
        register(packages.make_untrained("image_generation", folder / "drawings"), name="drawings")
        register(packages.make_untrained("speech_synthesis", folder / "reader"), name="reader")
        spoken_by = {"speaker": "text"}
        register(packages.make_untrained("speech_synthesis", folder / "voices", more_columns=spoken_by), name="voices")
    with api:
        yield api


@pytest.fixture(scope="module")
def client(api: ApiProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{api.port}/v1", api_key=api.key, max_retries=0) as client:
        yield client


def native(api: ApiProcess, model: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of `/predict`, which every answer here must agree with."""
    headers = {"Content-Type": "application/json"}
    status, _, answer = api.request("POST", f"/predict/{model}", headers=headers, body=json.dumps(body).encode())
    assert status == 200, answer
    outputs: list[dict[str, Any]] = json.loads(answer)["outputs"]
    return outputs
