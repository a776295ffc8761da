"""OpenAI's client for JavaScript, unchanged."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.app.openai.conftest import MODELS, native
from tests.support.api_process import ApiProcess
from tests.support.client_packages import npm, npm_packages

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "openai (JavaScript)",
        "npm:openai",
        "models, embeddings, chat.completions, completions, responses, audio (both ways), images.generate",
    ),
]

CLIENT: Final = "openai@7.59.0"


def answers_of(program: str, api: ApiProcess, folder: Path, *, packages: Sequence[str] = (CLIENT,)) -> dict[str, Any]:
    """Answers that a program beside this file prints."""
    (folder / program).write_text(Path(__file__).with_name(program).read_text())
    (folder / "node_modules").symlink_to(npm_packages(*packages) / "node_modules")
    command = ["exec", "--silent", "--", "node", program, f"http://127.0.0.1:{api.port}/v1", api.key]
    answers: dict[str, Any] = json.loads(npm(*command, into=folder))
    return answers


def test_a_program_over_the_npm_package_asks_models_as_it_asks_openai(api: ApiProcess, tmp_path: Path) -> None:
    answers = answers_of("calls.mjs", api, tmp_path)
    assert answers["models"] == list(MODELS)
    body = {"inputs": [{"text": "a quiet film"}], "parameters": {"return": "embedding"}}
    headers = {"Content-Type": "application/json"}
    _, _, native = api.request("POST", "/predict/reviews", headers=headers, body=json.dumps(body).encode())
    assert answers["embedding"] == pytest.approx(json.loads(native)["outputs"][0]["embedding"], rel=1e-6)
    assert answers["reply"].startswith("a")
    assert answers["text"].startswith("é")
    assert answers["response"].startswith("a")
    assert answers["events"] == answers["response"]
    assert answers["status"] == 404


def test_audio_and_images_are_those_of_predict(api: ApiProcess, tmp_path: Path) -> None:
    answers = answers_of("media_calls.mjs", api, tmp_path)
    (spoken,) = native(api, "reader", {"inputs": [{"text": "quiet film"}]})
    assert answers["wav"] == spoken["audio"]
    (transcribed,) = native(api, "speech", {"inputs": [{"audio": answers["wav"]}]})
    assert answers["text"] == transcribed["text"]
    (drawn,) = native(api, "drawings", {"inputs": [{"label": "2", "seed": 7}]})
    assert base64.b64decode(answers["image"]) == base64.b64decode(drawn["image"])
    assert answers["refused"] == "size"
