"""The waist: what the worker calls, on real pictures."""

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

from ml.errors import SpecError, TrainingDiverged, TrainingInterrupted
from ml.learning.training.progress import Progress, Stop
from ml.package.checksums import digest
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.digits import SHORT, run, spec

CLASSIFY = {"task": "image_classification", "architecture": "cnn"}


@pytest.fixture(scope="module")
def base(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A base model of two steps."""
    wanted = spec("pretrain", objective="contrastive_views", architecture="cnn")
    return run(digits, tmp_path_factory.mktemp("base"), wanted).package


def test_the_default_recipe_reads_digits(digits: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    made = run(digits, tmp_path, spec("finetune", **CLASSIFY, schedule={}), told=told)
    report = made.report
    assert report is not None
    assert made.metrics["test/accuracy"] >= 0.97
    assert report["metrics"]["accuracy"] == made.metrics["test/accuracy"]
    assert (report["split"], report["rows"]) == ("test", 360)
    assert report["baseline"]["accuracy"] < 0.2
    low, high = report["intervals"]["accuracy"]
    assert low < report["metrics"]["accuracy"] <= high
    assert np.sum(report["confusion_matrix"]) == 360
    assert json.dumps(report)
    assert told[0].phase == "preparing"
    assert {"training", "evaluating", "exporting"} <= {each.phase for each in told}
    assert made.reason == "completed"
    assert made.package.manifest.labels == [str(digit) for digit in range(10)]
    assert made.package.manifest.parameters == 35_674


def test_equal_specs_give_equal_weights_and_other_seeds_others(digits: Path, tmp_path: Path) -> None:
    digests = [
        digest(run(digits, tmp_path / name, spec("finetune", **CLASSIFY, seed=seed)).package.file(WEIGHTS))
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_base_model_brings_its_backbone_and_its_encoder(digits: Path, tmp_path: Path, base: ModelPackage) -> None:
    assert base.manifest.task is None
    assert base.manifest.head is None
    assert base.manifest.objective is not None
    assert base.manifest.objective.name == "contrastive_views"
    wanted = spec("finetune", task="image_classification", start_from="base", tuning="head_only")
    made = run(digits, tmp_path, wanted, start_from=base.directory)
    ours, theirs = load_file(made.package.file(WEIGHTS)), load_file(base.file(WEIGHTS))
    assert all((ours[name] == each).all() for name, each in theirs.items())
    report = made.report
    assert report is not None
    assert report["transfer"]["kept"] == sorted(theirs)
    assert report["transfer"]["new"] == ["head.linear.bias", "head.linear.weight"]
    assert report["transfer"]["dropped"] == []
    assert made.package.manifest.encoders == base.manifest.encoders
    assert made.package.manifest.source.parent == digest(base.directory / "manifest.json")


def test_of_a_model_that_is_named_for_a_slot_only_that_slot_is_taken(digits: Path, tmp_path: Path) -> None:
    first = run(digits, tmp_path / "first", spec("finetune", **CLASSIFY)).package
    again = spec("finetune", task="image_classification", start_from={"image": "first"}, tuning="head_only")
    made = run(digits, tmp_path / "again", again, start_from={"image": first.directory})
    ours, theirs = load_file(made.package.file(WEIGHTS)), load_file(first.file(WEIGHTS))
    assert made.report is not None
    transfer = made.report["transfer"]
    assert transfer["kept"] == sorted(name for name in theirs if name.startswith("backbones.image."))
    assert transfer["dropped"] == transfer["new"] == ["head.linear.bias", "head.linear.weight"]
    assert all((ours[name] == theirs[name]).all() for name in transfer["kept"])
    assert made.package.manifest.encoders == first.manifest.encoders
    assert made.package.manifest.source.parent == {"image": digest(first.directory / "manifest.json")}


def test_a_head_for_other_labels_is_not_taken_over(digits: Path, tmp_path: Path) -> None:
    first = run(digits, tmp_path / "first", spec("finetune", **CLASSIFY)).package
    again = spec("finetune", task="image_classification", start_from="first")
    kept = run(digits, tmp_path / "kept", again, start_from=first.directory).report
    renamed = ModelPackage(first.directory, first.manifest.model_copy(update={"labels": list("abcdefghij")}))
    (tmp_path / "renamed").mkdir()
    for path in first.directory.rglob("*"):
        if path.is_file():
            target = tmp_path / "renamed" / path.relative_to(first.directory)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "renamed" / "manifest.json").write_text(renamed.manifest.model_dump_json())
    dropped = run(digits, tmp_path / "dropped", again, start_from=tmp_path / "renamed").report
    assert kept is not None
    assert dropped is not None
    assert kept["transfer"]["new"] == []
    assert dropped["transfer"]["new"] == dropped["transfer"]["dropped"] == ["head.linear.bias", "head.linear.weight"]


def test_a_decoder_learned_without_labels_is_a_start_for_drawing_with_them(digits: Path, tmp_path: Path) -> None:
    wanted = spec("pretrain", objective="evidence_lower_bound", architecture="vae")
    decoder = run(digits, tmp_path / "base", wanted).package
    assert decoder.manifest.head is not None
    drawing = spec("finetune", task="image_generation", start_from="base")
    report = run(digits, tmp_path / "drawing", drawing, start_from=decoder.directory).report
    assert report is not None
    backbone = ["backbones.image.condition.weight", "backbones.image.condition_early.weight"]
    assert report["transfer"]["new"] == [*backbone, "head.from_class.weight"]


def test_finish_evaluates_and_packages_what_there_is(digits: Path, tmp_path: Path) -> None:
    told: list[Progress] = []

    def stop() -> Stop | None:
        return Stop.FINISH if told and told[-1].epoch >= 3 else None

    wanted = spec("finetune", **CLASSIFY, schedule={"epochs": 500, "decay": "constant", "learning_rate": 0.003})
    made = run(digits, tmp_path, wanted, told=told, should_stop=stop)
    assert made.reason == "stopped"
    assert made.report is not None
    assert made.report["training"]["epochs"] < 10
    assert made.metrics["test/accuracy"] > 0.5


def test_a_run_left_in_any_phase_ends_as_if_it_had_not_been(digits: Path, tmp_path: Path) -> None:
    wanted = spec("finetune", **CLASSIFY, schedule={"epochs": 2, "batch_size": 256})
    whole = run(digits, tmp_path / "whole", wanted).package
    told: list[Progress] = []
    for phase in ("training", "evaluating"):

        def leave(phase: str = phase) -> Stop | None:
            return Stop.LEAVE if told and told[-1].phase == phase else None

        with pytest.raises(TrainingInterrupted):
            run(digits, tmp_path / "cut", wanted, told=told, should_stop=leave)
        told.clear()
    again = run(digits, tmp_path / "cut", wanted).package
    assert digest(again.file(WEIGHTS)) == digest(whole.file(WEIGHTS))


def test_a_checkpoint_of_another_spec_is_not_taken_up(digits: Path, tmp_path: Path) -> None:
    run(digits, tmp_path, spec("finetune", **CLASSIFY))
    told: list[Progress] = []
    run(digits, tmp_path, spec("finetune", **CLASSIFY, seed=1), told=told)
    assert any("another run" in (each.message or "") for each in told)
    assert any(each.phase == "training" and each.step == 1 for each in told)


@pytest.mark.process
def test_a_killed_run_ends_with_the_same_package_in_a_fresh_process(digits: Path, tmp_path: Path) -> None:
    wanted = spec("finetune", **CLASSIFY, schedule={"epochs": 3, "batch_size": 64, "checkpoint_every_seconds": 0.001})
    whole = run(digits, tmp_path / "whole", wanted).package
    script = (
        "import os, signal, sys, pathlib, torch\n"
        "from tests.support.ml.digits import run\n"
        "from ml.spec.schema import Finetune\n"
        "torch.set_num_threads(1)\n"
        "spec = Finetune.model_validate_json(sys.argv[3])\n"
        "class Told(list):\n"
        "    def append(self, progress):\n"
        "        if progress.checkpoint and progress.step >= 30 and sys.argv[4] == 'die':\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), spec, told=Told())\n"
    )
    for how, expected in (("die", -signal.SIGKILL), ("end", 0)):
        command = [sys.executable, "-c", script, str(digits), str(tmp_path / "cut"), wanted.model_dump_json(), how]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
        assert done.returncode == expected, done.stderr
    again = ModelPackage.open(tmp_path / "cut" / "package")
    assert digest(again.file(WEIGHTS)) == digest(whole.file(WEIGHTS))


def test_training_that_diverges_says_where_and_packages_nothing(digits: Path, tmp_path: Path) -> None:
    schedule = {**SHORT, "epochs": 50, "optimizer": "sgd", "learning_rate": 100, "decay": "constant"}
    document = {"name": "cnn", "config": {"preset": "document"}}
    wanted = spec("finetune", task="image_classification", architecture=document, schedule=schedule)
    with pytest.raises(TrainingDiverged, match="at step"):
        run(digits, tmp_path, wanted)
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"task": "image_generation", "architecture": "cnn"}, "needs latent; cnn gives"),
        ({"task": "image_classification", "architecture": "resnet9000"}, "cnn"),
        ({"task": "image_classification", "architecture": "cnn", "tuning": "head_only"}, "base model"),
    ],
)
def test_what_does_not_hold_together_is_refused_with_the_reason(
    digits: Path, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        run(digits, tmp_path, spec("finetune", **asked))


def test_rows_held_out_are_not_trained_on(digits: Path, tmp_path: Path) -> None:
    """Where the dataset has no validation split a tenth is held out, by seed and not by position."""
    summary = json.loads((digits / "dataset.json").read_text())
    (tmp_path / "without").mkdir()
    for path in digits.iterdir():
        if not path.name.startswith("validation"):
            (tmp_path / "without" / path.name).write_bytes(path.read_bytes())
    rows = summary["splits"]["train"]
    summary["splits"]["validation"] = 0
    (tmp_path / "without" / "dataset.json").write_text(json.dumps(summary))
    made = run(tmp_path / "without", tmp_path / "run", spec("pretrain", objective="supervised", architecture="cnn"))
    assert made.report is not None
    assert made.report["rows"] == round(rows * 0.1)
    assert made.package.manifest.head is None


@pytest.mark.process
def test_torch_is_the_only_heavy_import() -> None:
    script = "import sys, ml.learning.pipeline.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not {"onnx", "onnxscript", "onnxruntime", "sklearn", "scipy", "pyarrow", "transformers"} & loaded
