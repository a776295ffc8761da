"""Models are imported and exported by jobs."""

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
from tests.support.ml.model_folders import zip_folder
from tests.support.worker.machine import Machine
from tests.support.worker.waiting import until
from worker import sandbox

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model with the transformers library, and zip its folder."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        layer_type="basic", embedding_size=4, hidden_sizes=[4], depths=[1], id2label={0: "no", 1: "yes", 2: "maybe"}
    )
    folder = tmp_path_factory.mktemp("original")
    ResNetForImageClassification(config).save_pretrained(folder)
    return zip_folder(folder, tmp_path_factory.mktemp("zips") / "answers.zip", prefix="answers/")


def submit_import(machine: Machine, path: Path, **options: Any) -> str:
    """Submit an import like `POST /api/v1/models/import`."""
    key = f"imports/upl_{path.stem}/{path.name}"
    blobs().put_file(key, path)
    spec = {"kind": "import", "model": "answers", "source": {"key": key, "filename": path.name}, **options}
    return machine.submit(spec, dataset_id=None)


def test_an_imported_model_predicts_and_is_exported(tmp_path: Path, resnet: Path) -> None:
    with zipfile.ZipFile(resnet) as archive:
        archive.extractall(tmp_path / "original")
    pickled = zip_folder(tmp_path / "original", tmp_path / "pickled.zip", pytorch_model_dot_bin=b"\x80\x04.")
    with Machine(tmp_path) as machine:
        machine.start_worker()
        failed = machine.wait_for(submit_import(machine, pickled), "succeeded", "failed")
        assert (failed.state, failed.fence) == ("failed", 1), "it is not retried"
        assert failed.error["user_fault"]
        assert "pytorch_model.bin" in failed.error["message"]
        assert "safetensors" in failed.error["hint"]

        with transaction() as session:
            upload = uploads.create(session, length=1, filename="x", metadata="", expires_at=datetime.now(UTC))
            upload_id = upload.id
        job_id = submit_import(machine, resnet, upload=upload_id)
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
        [output] = Predictor.load(package).predict([{"pixels": [[0, 255], [255, 0]]}])
        assert set(output["probabilities"]) == {"no", "yes", "maybe"}

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


def test_an_import_has_a_limit_on_processor_time(tmp_path: Path, resnet: Path) -> None:
    arguments = {"source": str(resnet), "into": str(tmp_path / "package"), "options": {}}
    limits = sandbox.ResourceLimits(memory_bytes=2**34, cpu_seconds=1, file_bytes=2**30)
    with pytest.raises(sandbox.LimitExceeded, match="processor time"):
        sandbox.read_in_sandbox(reader="model", arguments=arguments, report=tmp_path / "report.json", limits=limits)
