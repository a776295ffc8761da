"""Models come in and go out by jobs, whose runs are processes like any other."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml.inference.predictor import Predictor
from ml.package.package import ModelPackage
from store import jobs, models, uploads
from store.blobs import blobs
from store.database import transaction
from store.errors import NotFound
from tests.support.ml.model_folders import zipped
from tests.support.worker.machine import Machine
from tests.support.worker.waiting import until
from worker import sandbox

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of a folder as Hugging Face's library writes it."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        layer_type="basic", embedding_size=4, hidden_sizes=[4], depths=[1], id2label={0: "no", 1: "yes", 2: "maybe"}
    )
    folder = tmp_path_factory.mktemp("theirs")
    ResNetForImageClassification(config).save_pretrained(folder)
    return zipped(folder, tmp_path_factory.mktemp("zips") / "answers.zip", below="answers/")


def brought(machine: Machine, path: Path, **asked: Any) -> str:
    """As `POST /api/v1/models/import` does."""
    key = f"imports/upl_{path.stem}/{path.name}"
    blobs().put_file(key, path)
    spec = {"kind": "import", "model": "answers", "source": {"key": key, "filename": path.name}, **asked}
    return machine.submit(spec, dataset_id=None)


def test_models_come_in_answer_and_go_out_again(tmp_path: Path, resnet: Path) -> None:
    with zipfile.ZipFile(resnet) as archive:
        archive.extractall(tmp_path / "theirs")
    pickled = zipped(tmp_path / "theirs", tmp_path / "pickled.zip", pytorch_model_dot_bin=b"\x80\x04.")
    with Machine(tmp_path) as machine:
        machine.start_worker()
        refused = machine.wait_for(brought(machine, pickled), "succeeded", "failed")
        assert (refused.state, refused.fence) == ("failed", 1), "it is not tried again"
        assert refused.error["user_fault"]
        assert "pytorch_model.bin" in refused.error["message"]
        assert "safetensors" in refused.error["hint"]

        with transaction() as session:
            upload = uploads.create(session, length=1, filename="x", metadata="", expires_at=datetime.now(UTC))
            upload_id = upload.id
        job_id = brought(machine, resnet, upload=upload_id)
        job = machine.wait_for(job_id, "succeeded", "failed")
        assert job.state == "succeeded", job.error
        assert (job.progress["phase"], job.progress["percent"]) == ("registering", 100)
        assert job.report["labels"] == ["no", "yes", "maybe"]
        assert [event["message"] for event in machine.event_data(job_id, "log")] == job.report["notes"]
        [model] = machine.models_of(job_id)
        assert (model.name, model.task, model.labels) == ("answers", "image_classification", ["no", "yes", "maybe"])
        assert model.formats == ["safetensors", "onnx"]
        until(lambda: not blobs().exists(f"imports/upl_{resnet.stem}"))
        with transaction() as session, pytest.raises(NotFound):
            uploads.get(session, upload_id)

        package = ModelPackage.open(blobs().fetch_tree(model.key, tmp_path / "fetched"))
        [answer] = Predictor.load(package).predict([{"pixels": [[0, 255], [255, 0]]}])
        assert set(answer["probabilities"]) == {"no", "yes", "maybe"}

        with transaction() as session:
            spec = {"kind": "export", "model": "answers@1", "format": "huggingface"}
            export_id = jobs.submit(session, kind="export", spec=spec).id
        job = machine.wait_for(export_id, "succeeded", "failed")
        assert job.state == "succeeded", job.error
        assert job.report["max_abs_difference"] < 1e-5
        with blobs().open(models.export_key(model.id, "huggingface")) as file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["config.json", "model.safetensors", "preprocessor_config.json"]
        assert not machine.models_of(export_id)

        with transaction() as session:
            spec = {"kind": "export", "model": "answers@1", "format": "onnx"}
            export_id = jobs.submit(session, kind="export", spec=spec).id
        job = machine.wait_for(export_id, "succeeded", "failed")
        assert job.state == "succeeded", job.error
        assert job.report["graphs"]["model"]["labels_changed"] == 0
        with blobs().open(models.export_key(model.id, "onnx")) as file, zipfile.ZipFile(file) as archive:
            assert {"README.md", "preprocessing.json", "parity.json", "model.onnx", "run.py"} <= set(archive.namelist())


def test_reading_a_model_is_bounded(tmp_path: Path, resnet: Path) -> None:
    arguments = {"source": str(resnet), "into": str(tmp_path / "package"), "asked": {}}
    bounds = sandbox.ResourceLimits(memory_bytes=2**34, cpu_seconds=1, file_bytes=2**30)
    with pytest.raises(sandbox.LimitExceeded, match="processor time"):
        sandbox.read_in_sandbox(reader="model", arguments=arguments, report=tmp_path / "report.json", bounds=bounds)
