"""OpenAI's client for JavaScript, unchanged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.support.api_process import ApiProcess
from tests.support.programs import Npm

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("openai (JavaScript)", "npm:openai", "models, embeddings, chat.completions, completions"),
]

PROGRAM: Final = Path(__file__).with_name("node")


def test_a_program_over_the_npm_package_asks_models_as_it_asks_openai(api: ApiProcess, tmp_path: Path) -> None:
    npm, folder = Npm(), tmp_path / "program"
    shutil.copytree(PROGRAM, folder)
    npm.install(into=folder)
    environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{api.port}/v1", "OPENAI_API_KEY": api.key}
    answers = json.loads(npm.node(folder / "calls.mjs", into=folder, environment=environment))
    assert answers["models"] == ["reviews", "shades", "stories"]
    body = {"inputs": [{"text": "a quiet film"}], "parameters": {"return": "embedding"}}
    headers = {"Content-Type": "application/json"}
    _, _, native = api.request("POST", "/predict/reviews", headers=headers, body=json.dumps(body).encode())
    assert answers["embedding"] == pytest.approx(json.loads(native)["outputs"][0]["embedding"], rel=1e-6)
    assert answers["reply"].startswith("a")
    assert answers["text"].startswith("é")
    assert answers["status"] == 404
