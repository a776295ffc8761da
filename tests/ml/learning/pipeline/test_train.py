"""Training as the worker calls it, on real images."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from ml.data.dataset import Dataset
from ml.errors import InputError, SpecError, TrainingDiverged, TrainingInterrupted
from ml.inference.predictor import Predictor
from ml.learning.training.progress import Progress, Stop
from ml.package.checksums import digest
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.digits import SHORT, run, spec

CLASSIFY = {"task": "image_classification", "architecture": "cnn"}


@pytest.fixture(scope="module")
def base(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A base model of two steps."""
    request = spec("pretrain", objective="contrastive_views", architecture="cnn")
    return run(digits, tmp_path_factory.mktemp("base"), request).package


def test_the_default_recipe_reads_digits(digits: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    result = run(digits, tmp_path, spec("finetune", **CLASSIFY, schedule={}), reports=reports)
    report = result.report
    assert result.metrics["test/accuracy"] >= 0.97
    assert report["metrics"]["accuracy"] == result.metrics["test/accuracy"]
    assert (report["split"], report["rows"]) == ("test", 360)
    assert report["baseline"]["accuracy"] < 0.2
    low, high = report["intervals"]["accuracy"]
    assert low < report["metrics"]["accuracy"] <= high
    assert np.sum(report["confusion_matrix"]) == 360
    assert report["notes"] == []
    assert json.dumps(report)
    assert reports[0].phase == "preparing"
    assert {"training", "evaluating", "exporting"} <= {progress.phase for progress in reports}
    assert result.reason == "completed"
    assert result.package.manifest.labels == [str(digit) for digit in range(10)]
    assert result.package.manifest.parameters == 35_674

    section = report["calibration"]
    assert section["fitted_rows"] > 100
    assert sum(row["count"] for row in section["bins"]) == sum(row["count"] for row in section["before"]["bins"]) == 360
    # A good model of 360 rows: sampling alone makes an error of about 0.01.
    assert section["ece"] < 0.03
    assert_predictions_are_calibrated(result.package, Dataset.open(digits), section["temperature"])


def assert_predictions_are_calibrated(package: ModelPackage, data: Dataset, temperature: float) -> None:
    """Probabilities have the temperature, labels do not, and sets hold the true label."""
    predictor, rows = Predictor.load(package), data.rows("test")
    inputs = [{"pixels": image[:, :, 0].tolist()} for image in rows.columns["image"]]
    outputs = predictor.predict(inputs, parameters={"conformal": 0.95})
    task = package.task()
    assert task is not None
    logits = predictor.run("model", task.collate(task.encode(rows)))["logits"].astype(np.float64)
    expected = np.exp(logits / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    actual = np.array([list(output["probabilities"].values()) for output in outputs])
    # Rows of other batches differ in the last bits of float32.
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert [output["label"] for output in outputs] == [task.labels[code] for code in logits.argmax(axis=1)]
    held = [label in output["label_set"] for label, output in zip(rows.columns["label"], outputs, strict=True)]
    assert np.mean(held) > 0.9
    with pytest.raises(InputError, match=r"sets of labels are for"):
        predictor.predict(inputs[:1], parameters={"conformal": 0.95, "return": "embedding"})


def test_equal_specs_give_equal_weights_and_other_seeds_different_ones(digits: Path, tmp_path: Path) -> None:
    digests = [
        digest(run(digits, tmp_path / name, spec("finetune", **CLASSIFY, seed=seed)).package.file(WEIGHTS))
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_base_model_provides_its_backbone_and_its_encoder(digits: Path, tmp_path: Path, base: ModelPackage) -> None:
    assert base.manifest.task is None
    assert base.manifest.head is None
    assert base.manifest.objective is not None
    assert base.manifest.objective.name == "contrastive_views"
    request = spec("finetune", task="image_classification", start_from="base", tuning="head_only")
    result = run(digits, tmp_path, request, start_from=base.directory)
    ours, theirs = load_file(result.package.file(WEIGHTS)), load_file(base.file(WEIGHTS))
    assert all((ours[name] == tensor).all() for name, tensor in theirs.items())
    report = result.report
    assert report["transfer"]["loaded"] == sorted(theirs)
    assert report["transfer"]["new"] == ["head.linear.bias", "head.linear.weight"]
    assert report["transfer"]["dropped"] == []
    assert result.package.manifest.encoders == base.manifest.encoders
    assert result.package.manifest.source.parent == digest(base.directory / "manifest.json")


def test_a_base_model_of_one_slot_provides_only_that_slot(digits: Path, tmp_path: Path) -> None:
    first = run(digits, tmp_path / "first", spec("finetune", **CLASSIFY)).package
    again = spec("finetune", task="image_classification", start_from={"image": "first"}, tuning="head_only")
    result = run(digits, tmp_path / "again", again, start_from={"image": first.directory})
    ours, theirs = load_file(result.package.file(WEIGHTS)), load_file(first.file(WEIGHTS))
    transfer = result.report["transfer"]
    assert transfer["loaded"] == sorted(name for name in theirs if name.startswith("backbones.image."))
    assert transfer["dropped"] == transfer["new"] == ["head.linear.bias", "head.linear.weight"]
    assert all((ours[name] == theirs[name]).all() for name in transfer["loaded"])
    assert result.package.manifest.encoders == first.manifest.encoders
    assert result.package.manifest.source.parent == {"image": digest(first.directory / "manifest.json")}


def test_a_second_run_on_the_same_labels_loads_the_whole_head(digits: Path, tmp_path: Path) -> None:
    first = run(digits, tmp_path / "first", spec("finetune", **CLASSIFY)).package
    again = spec("finetune", task="image_classification", start_from="first")
    transfer = run(digits, tmp_path / "same", again, start_from=first.directory).report["transfer"]
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    assert transfer["labels"] == {"loaded": [*"0123456789"], "new": [], "dropped": []}


def test_a_decoder_trained_without_labels_can_start_a_conditional_one(digits: Path, tmp_path: Path) -> None:
    request = spec("pretrain", objective="evidence_lower_bound", architecture="vae")
    decoder = run(digits, tmp_path / "base", request).package
    assert decoder.manifest.head is not None
    generation = spec("finetune", task="image_generation", start_from="base")
    report = run(digits, tmp_path / "generation", generation, start_from=decoder.directory).report
    backbone = ["backbones.image.condition.weight", "backbones.image.condition_early.weight"]
    assert report["transfer"]["new"] == [*backbone, "head.from_class.weight"]


def test_finish_evaluates_and_packages_the_current_model(digits: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []

    def stop() -> Stop | None:
        return Stop.FINISH if reports and reports[-1].epoch >= 3 else None

    request = spec("finetune", **CLASSIFY, schedule={"epochs": 500, "decay": "constant", "learning_rate": 0.003})
    result = run(digits, tmp_path, request, reports=reports, should_stop=stop)
    assert result.reason == "stopped"
    assert result.report["training"]["epochs"] < 10
    assert result.metrics["test/accuracy"] > 0.5


def test_a_run_interrupted_in_any_phase_ends_like_an_uninterrupted_one(digits: Path, tmp_path: Path) -> None:
    request = spec("finetune", **CLASSIFY, schedule={"epochs": 2, "batch_size": 256})
    whole = run(digits, tmp_path / "whole", request).package
    reports: list[Progress] = []
    for phase in ("training", "evaluating"):

        def leave(phase: str = phase) -> Stop | None:
            return Stop.LEAVE if reports and reports[-1].phase == phase else None

        with pytest.raises(TrainingInterrupted):
            run(digits, tmp_path / "cut", request, reports=reports, should_stop=leave)
        reports.clear()
    again = run(digits, tmp_path / "cut", request).package
    assert digest(again.file(WEIGHTS)) == digest(whole.file(WEIGHTS))


def test_a_checkpoint_of_another_spec_is_not_resumed(digits: Path, tmp_path: Path) -> None:
    run(digits, tmp_path, spec("finetune", **CLASSIFY))
    reports: list[Progress] = []
    run(digits, tmp_path, spec("finetune", **CLASSIFY, seed=1), reports=reports)
    assert any("another run" in (progress.message or "") for progress in reports)
    assert any(progress.phase == "training" and progress.step == 1 for progress in reports)


@pytest.mark.process
def test_a_killed_run_ends_with_the_same_package_in_a_fresh_process(digits: Path, tmp_path: Path) -> None:
    request = spec("finetune", **CLASSIFY, schedule={"epochs": 3, "batch_size": 64, "checkpoint_every_seconds": 0.001})
    whole = run(digits, tmp_path / "whole", request).package
    script = (
        "import os, signal, sys, pathlib, torch\n"
        "from tests.support.ml.digits import run\n"
        "from ml.spec.schema import Finetune\n"
        "torch.set_num_threads(1)\n"
        "spec = Finetune.model_validate_json(sys.argv[3])\n"
        "class Reports(list):\n"
        "    def append(self, progress):\n"
        "        if progress.checkpoint and progress.step >= 30 and sys.argv[4] == 'die':\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), spec, reports=Reports())\n"
    )
    for ending, expected in (("die", -signal.SIGKILL), ("end", 0)):
        command = [sys.executable, "-c", script, str(digits), str(tmp_path / "cut"), request.model_dump_json(), ending]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
        assert process.returncode == expected, process.stderr
    again = ModelPackage.open(tmp_path / "cut" / "package")
    assert digest(again.file(WEIGHTS)) == digest(whole.file(WEIGHTS))


def test_a_diverging_training_names_the_step_and_packages_nothing(digits: Path, tmp_path: Path) -> None:
    schedule = {**SHORT, "epochs": 50, "optimizer": "sgd", "learning_rate": 100, "decay": "constant"}
    document = {"name": "cnn", "config": {"preset": "document"}}
    request = spec("finetune", task="image_classification", architecture=document, schedule=schedule)
    with pytest.raises(TrainingDiverged, match="at step"):
        run(digits, tmp_path, request)
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "image_generation", "architecture": "cnn"}, "needs latent; cnn gives"),
        ({"task": "image_classification", "architecture": "resnet9000"}, "cnn"),
        ({"task": "image_classification", "architecture": "cnn", "tuning": "head_only"}, "base model"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused_with_the_reason(
    digits: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        run(digits, tmp_path, spec("finetune", **fields))


def test_rows_held_out_are_not_trained_on(digits: Path, tmp_path: Path) -> None:
    """A tenth of the rows is held out if there is no validation split."""
    summary = json.loads((digits / "dataset.json").read_text())
    (tmp_path / "without").mkdir()
    for path in digits.iterdir():
        if not path.name.startswith("validation"):
            (tmp_path / "without" / path.name).write_bytes(path.read_bytes())
    rows = summary["splits"]["train"]
    summary["splits"]["validation"] = 0
    (tmp_path / "without" / "dataset.json").write_text(json.dumps(summary))
    result = run(tmp_path / "without", tmp_path / "run", spec("pretrain", objective="supervised", architecture="cnn"))
    assert result.report["rows"] == round(rows * 0.1)
    assert result.package.manifest.head is None


@pytest.mark.process
def test_torch_is_the_only_heavy_import() -> None:
    script = "import sys, ml.learning.pipeline.train; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(process.stdout.split())
    assert "torch" in loaded
    assert not {"onnx", "onnxscript", "onnxruntime", "sklearn", "scipy", "pyarrow", "transformers"} & loaded
