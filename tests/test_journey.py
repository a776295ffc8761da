"""The whole way through a real service: upload, pretrain, fine-tune, judge, name, take away, ask."""

import base64
import hashlib
import json
import zipfile
from pathlib import Path

import httpx2
import pytest

from plinth import Plinth
from plinth.client.errors import Conflict
from tests.support.stack import RunningStack

pytestmark = pytest.mark.process


def test_from_images_to_answers(
    plinth: Plinth, stack: RunningStack, digits_zip: Path, digit_files: list[Path], tmp_path: Path
) -> None:
    dataset = plinth.datasets.wait(
        plinth.datasets.upload(digits_zip, name="journey", task="image_classification").id, timeout_seconds=60
    )
    report = plinth.datasets.report(dataset.id)
    assert (report.rows, report.accepted, report.rejected) == (300, 300, 0)
    assert sum(dataset.splits.values()) == 300
    catalog = plinth.catalog()
    assert "cnn" in json.dumps(catalog["architectures"])

    pretraining = plinth.jobs.pretrain(
        "journey",
        objective="contrastive_views",
        architecture={"name": "cnn", "config": {"preset": "small"}},
        schedule={"epochs": 2, "batch_size": 64},
        model="journey-base",
    )
    base = plinth.jobs.wait(pretraining.id, timeout_seconds=120)
    assert base.model is not None
    kinds = [event.kind for event in plinth.jobs.events(base.id)]
    assert kinds[0] == kinds[-1] == "state"

    tuning = plinth.jobs.finetune(
        "journey@1",
        task="image_classification",
        start_from=str(base.model),
        schedule={"epochs": 6, "batch_size": 32},
        model="journey-tuned",
    )
    tuned = plinth.jobs.wait(tuning.id, timeout_seconds=120)
    assert tuned.progress.percent == 100
    curves = plinth.jobs.metrics(tuned.id)
    assert len(curves["train/loss"]) >= 2
    assert curves["train/loss"][0][1] > curves["train/loss"][-1][1]

    evaluation = plinth.jobs.report(tuned.id)
    assert evaluation["rows"] == 60
    assert sum(map(sum, evaluation["confusion_matrix"])) == 60
    assert evaluation["metrics"]["accuracy"] > 3 * evaluation["baseline"]["accuracy"]
    low, high = evaluation["intervals"]["accuracy"]
    assert low <= evaluation["metrics"]["accuracy"] <= high

    model = plinth.models.get("journey-tuned")
    assert model.lineage is not None
    assert model.lineage.parent == base.model
    assert model.lineage.job == tuned.id
    assert model.lineage.dataset is not None
    assert model.lineage.dataset["digest"] == dataset.digest
    assert set(model.formats) == {"safetensors", "onnx"}

    alias = plinth.models.set_alias("journey-tuned", "production", model.version)
    with pytest.raises(Conflict):
        plinth.models.set_alias("journey-tuned", "production", model.version, if_match="a-tag-of-long-ago")
    assert plinth.models.set_alias("journey-tuned", "production", model.version, if_match=alias.etag).version == 1

    package = plinth.models.download("journey-tuned@production", tmp_path)
    with zipfile.ZipFile(package) as zipped:
        for file in model.files:
            (member,) = [name for name in zipped.namelist() if name.endswith(file.path)]
            assert hashlib.sha256(zipped.read(member)).hexdigest() == file.sha256

    several = plinth.predict("journey-tuned", digit_files)
    assert (several.version, len(several.outputs)) == (model.version, 3)
    content = digit_files[0].read_bytes()
    as_json = plinth.predict("journey-tuned@1", {"image": base64.b64encode(content).decode()})
    raw = httpx2.post(
        f"{stack.url}/predict/journey-tuned@production",
        content=content,
        headers={"Authorization": f"Bearer {stack.api_key}", "Content-Type": "image/png"},
    )
    assert raw.status_code == 200
    assert [output["label"] for output in (several.output, as_json.output, raw.json()["outputs"][0])] == [
        several.output["label"]
    ] * 3
    assert sum(as_json.output["probabilities"].values()) == pytest.approx(1, abs=1e-4)

    embedding = plinth.predict("journey-base", content, parameters={"return": "embedding"}).output["embedding"]
    assert len(embedding) > 1
    assert {summary.name for summary in plinth.models.list()} >= {"journey-base", "journey-tuned"}
