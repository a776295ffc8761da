"""OpenAI's client for JavaScript, unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.support.api_process import ApiProcess
from tests.support.client_packages import npm, npm_packages

pytestmark = [
    pytest.mark.process,
    pytest.mark.client("openai (JavaScript)", "npm:openai", "models, embeddings, chat.completions, completions"),
]

CLIENT: Final = "openai@6.49.0"
PROGRAM: Final = Path(__file__).with_name("calls.mjs")


def test_a_program_over_the_npm_package_asks_models_as_it_asks_openai(api: ApiProcess, tmp_path: Path) -> None:
    (tmp_path / PROGRAM.name).write_text(PROGRAM.read_text())
    (tmp_path / "node_modules").symlink_to(npm_packages(CLIENT) / "node_modules")
    command = ["exec", "--silent", "--", "node", PROGRAM.name, f"http://127.0.0.1:{api.port}/v1", api.key]
    answers = json.loads(npm(*command, into=tmp_path))
    assert answers["models"] == ["reviews", "shades", "stories"]
    body = {"inputs": [{"text": "a quiet film"}], "parameters": {"return": "embedding"}}
    headers = {"Content-Type": "application/json"}
    _, _, native = api.request("POST", "/predict/reviews", headers=headers, body=json.dumps(body).encode())
    assert answers["embedding"] == pytest.approx(json.loads(native)["outputs"][0]["embedding"], rel=1e-6)
    assert answers["reply"].startswith("a")
    assert answers["text"].startswith("é")
    assert answers["status"] == 404
