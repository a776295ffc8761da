"""A checkpoint of version 1 is resumed and ends like an uninterrupted run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from migrations.__main__ import upgrade
from ml.inference.predictor import Predictor
from ml.learning.pipeline.train import train
from ml.learning.training.progress import Progress
from ml.spec.schema import Spec, parse_stored_spec
from store import jobs
from store.database import make_engine
from tests.fixtures.version_1.home import CHECKPOINT, FACTS, WORDS, WORDS_BASE, write_database

#: To the embeddings after some hundred steps on another processor; those of another seed are 0.5 and more away.
CLOSE = 0.02


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """The spec of the paused job, as a worker of today gets it."""
    engine = make_engine(f"sqlite:///{write_database(tmp_path / 'plinth.db')}")
    with engine.begin() as connection:
        upgrade(connection)
    with Session(engine) as session:
        spec = jobs.get(session, FACTS["jobs"]["paused"]).spec
    engine.dispose()
    return parse_stored_spec(spec)


def test_a_checkpoint_of_version_1_is_resumed(spec: Spec, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(CHECKPOINT, workdir / "checkpoint" / "0")
    reports: list[Progress] = []
    result = train(spec, WORDS, workdir, device="cpu", on_progress=reports.append, should_stop=lambda: None)
    steps = [report.step for report in reports if report.phase == "training" and report.step]
    assert steps[0] == FACTS["checkpoint_step"]
    assert (result.reason, steps[-1]) == ("completed", 480)
    recorded = FACTS["predictions"]["words-base"]
    outputs = Predictor.load(result.package).predict(
        [{"text": text} for text in recorded["texts"]], parameters={"return": "embedding"}
    )
    for output, expected in zip(outputs, recorded["outputs"], strict=True):
        assert output["embedding"] == pytest.approx(expected["embedding"], abs=CLOSE)


def test_a_base_model_of_version_1_is_trained_on(spec: Spec, tmp_path: Path) -> None:
    changes = {"start_from": "words-base@1", "architectures": {}, "encoders": {}, "schedule": {"epochs": 1}}
    further = type(spec).model_validate({**spec.model_dump(), **changes})
    result = train(
        further,
        WORDS,
        tmp_path / "run",
        start_from=WORDS_BASE,
        device="cpu",
        on_progress=lambda progress: None,
        should_stop=lambda: None,
    )
    assert result.report is not None
    assert not result.report["transfer"]["new"]
