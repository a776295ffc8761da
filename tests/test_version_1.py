"""A service of today takes over a home folder of version 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.version_1.home import API_KEY, FACTS, image, write_home
from tests.support.stack import plinth_up

pytestmark = pytest.mark.process

#: To the embeddings after some hundred steps on another processor; those of another seed are 0.5 and more away.
CLOSE = 0.02


def test_a_home_of_version_1_is_taken_over(tmp_path: Path) -> None:
    home = write_home(tmp_path / "home")
    with plinth_up(home, PLINTH_API_KEY=API_KEY) as stack, stack.client() as service:
        assert {dataset.name for dataset in service.datasets.list()} == {"squares", "words"}
        assert {key.name for key in service.keys.list()} == {"first", "second"}
        ended = FACTS["jobs"]["words-base"]
        assert len(list(service.jobs.events(ended))) == FACTS["events"][ended]

        recorded = FACTS["predictions"]["shades"]
        answered = service.predict("shades@production", [image(name) for name in recorded["images"]])
        for output, expected in zip(answered.outputs, recorded["outputs"], strict=True):
            assert output["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)

        assert service.jobs.wait(FACTS["jobs"]["queued"], timeout_seconds=120).state == "succeeded"
        service.jobs.resume(FACTS["jobs"]["paused"])
        resumed = service.jobs.wait(FACTS["jobs"]["paused"], timeout_seconds=120)
        messages = [event.data.get("message") for event in service.jobs.events(resumed.id) if event.kind == "log"]
        assert any(str(FACTS["checkpoint_step"]) in message.split() for message in messages)
        assert resumed.model is not None
        recorded = FACTS["predictions"]["words-base"]
        inputs = [{"text": text} for text in recorded["texts"]]
        answered = service.predict(str(resumed.model), inputs, parameters={"return": "embedding"})
        for output, expected in zip(answered.outputs, recorded["outputs"], strict=True):
            assert output["embedding"] == pytest.approx(expected["embedding"], abs=CLOSE)
