"""The plan of a fine-tuning from scratch names the base models that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from ml.encoders import ENCODERS
from tests.app.jobs.test_jobs import finetune, ready_dataset
from tests.support.factories import embedder, register, shades


def bases(client: TestClient, **changes: object) -> list[str]:
    spec = {name: value for name, value in finetune(**changes).items() if value is not None}
    response = client.post("/api/v1/jobs?validate_only=true", json=spec)
    assert response.status_code == 200, response.text
    return response.json()["bases"]


@pytest.fixture
def base(client: TestClient, tmp_path: Path) -> None:
    """Base models of images and of texts, and a model with a task."""
    ready_dataset()
    image = np.zeros((8, 8, 1), dtype=np.uint8)
    register(embedder(tmp_path / "texts", "text", ENCODERS["text"].learn(["a text"], {})), name="texts-base")
    register(embedder(tmp_path / "images", "image", ENCODERS["image"].learn([image], {})), name="images-base")
    register(shades(tmp_path / "model"), name="trained")


@pytest.mark.usefixtures("base")
def test_only_a_base_model_that_fits_is_proposed(client: TestClient) -> None:
    assert bases(client, architecture=None) == ["images-base@1"]


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("changes", [{"architecture": "cnn"}, {"architecture": None, "start_from": "images-base"}])
def test_nothing_is_proposed_where_the_request_has_decided(client: TestClient, changes: dict[str, object]) -> None:
    assert bases(client, **changes) == []


def test_without_base_models_there_is_no_proposal(client: TestClient) -> None:
    ready_dataset()
    assert bases(client, architecture=None) == []
