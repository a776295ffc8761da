"""A service with a model of each task that these clients ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.encoders import ENCODERS
from ml.tasks import TASKS
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import embedder, register, writer
from tests.support.ml import packages

WORDS = ["a quiet film", "a loud song", "the sea"]


@pytest.fixture(scope="package")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    with homes.use_home(api.home):
        for task in TASKS:
            register(packages.make_untrained(task, folder / task), name=task)
        register(writer(folder / "stories"), name="stories")
        text = ENCODERS["text"].learn(WORDS, {"max_length": 8})
        register(embedder(folder / "embedder", "text", text), name="embedder")
    with api:
        yield api


@pytest.fixture(scope="package")
def native(api: ApiProcess) -> Callable[..., list[dict[str, Any]]]:
    """The outputs of `/predict`, which every answer here must agree with."""

    def predict(model: str, *inputs: Any, **parameters: Any) -> list[dict[str, Any]]:
        body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
        headers = {"Content-Type": "application/json"}
        status, _, answer = api.request("POST", f"/predict/{model}", headers=headers, body=body)
        assert status == 200, answer
        outputs: list[dict[str, Any]] = json.loads(answer)["outputs"]
        return outputs

    return predict
