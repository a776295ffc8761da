"""The newest `@huggingface/inference`, unchanged, asks models of a real service."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from ml.tasks import TASKS
from tests.support.api_process import ApiProcess
from tests.support.client_packages import npm, npm_packages
from tests.support.factories import png

pytestmark = [
    pytest.mark.process,
    pytest.mark.client(
        "@huggingface/inference (JavaScript)",
        "npm:@huggingface/inference",
        "images, texts, sound, tables, chat, streams",
    ),
]

CLIENT: Final = "@huggingface/inference@4.13.30"
PROGRAM: Final = Path(__file__).with_name("inference_client.mjs")


def test_each_call_is_answered_as_predict_answers(
    api: ApiProcess, native: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    image, clip = (
        png(200),
        base64.b64decode(TASKS["audio_classification"].example()[0].model_dump(mode="json")["audio"]),
    )
    (tmp_path / "image.png").write_bytes(image)
    (tmp_path / "clip.wav").write_bytes(clip)
    (tmp_path / PROGRAM.name).write_text(PROGRAM.read_text())
    (tmp_path / "node_modules").symlink_to(npm_packages(CLIENT) / "node_modules")
    command = ["exec", "--silent", "--", "node", PROGRAM.name, f"http://127.0.0.1:{api.port}", api.key]
    answers = json.loads(npm(*command, "image.png", "clip.wav", into=tmp_path))
    text, file, sound = {"text": "a quiet film"}, base64.b64encode(image).decode(), base64.b64encode(clip).decode()
    for name, model, raw_input in (
        ("text", "text_classification", text),
        ("image", "image_classification", {"image": file}),
        ("clip", "audio_classification", {"audio": sound}),
    ):
        (output,) = native(model, raw_input)
        assert answers[name][0]["label"] == output["label"], name
    # This client sends no parameters beside a file, so the threshold is the model's.
    objects = native("object_detection", {"image": file})[0]["objects"]
    assert [item["box"]["xmin"] for item in answers["objects"]] == [round(item["box"][0]) for item in objects]
    assert answers["speech"]["text"] == native("speech_recognition", {"audio": sound})[0]["text"]
    assert answers["sound"] == native("speech_synthesis", {"text": "old"})[0]["audio"]
    assert answers["translation"]["translation_text"] == answers["summary"]["summary_text"]
    assert answers["summary"]["summary_text"] == native("translation", text)[0]["text"]
    assert answers["embedding"][0] == pytest.approx(native("embedder", text)[0]["embedding"])
    assert answers["similarity"][0] == pytest.approx(1)
    assert answers["number"] == pytest.approx([native("tabular_regression", {"length": 5.1})[0]["value"]])
    assert {item["label"] for item in answers["labels"]} == {"dark", "light"}
    assert answers["generated"]["generated_text"] == answers["streamed"] == answers["chat"] == "aé世aé世"
    assert "more than whitespace" in answers["refusal"]
