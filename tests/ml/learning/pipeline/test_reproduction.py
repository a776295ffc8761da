"""Repeated trainings are equal bit for bit, or their first difference is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.learning.pipeline.reproduction import EQUAL, compare
from ml.package.package import ModelPackage
from ml.package.training_trace import TRACE, Environment, TrainingTrace, explain, find_difference, parse_trace
from tests.support.ml.digits import import_digits, run, spec

REQUEST = {"task": "image_classification", "architecture": "cnn"}


@pytest.fixture(scope="module")
def original(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return run(digits, tmp_path_factory.mktemp("original"), spec("finetune", **REQUEST)).package


def trace_of(package: ModelPackage) -> TrainingTrace:
    return parse_trace(package.file(TRACE).read_bytes())


def test_the_trace_has_the_first_weights_the_first_step_and_the_ends_of_epochs(original: ModelPackage) -> None:
    trace = trace_of(original)

    assert [traced.step for traced in trace.checkpoints[:2]] == [0, 1]
    assert all(traced.epoch > 0 for traced in trace.checkpoints[2:])
    assert "head.linear.weight" in {name.removeprefix("network.") for name in trace.checkpoints[0].tensors}
    assert trace.environment.threads == 1
    assert trace.environment.dataset


def test_a_repeated_training_is_equal_bit_for_bit(digits: Path, original: ModelPackage, tmp_path: Path) -> None:
    comparison = compare(original, run(digits, tmp_path, spec("finetune", **REQUEST)).package)

    assert comparison["equal"]
    assert comparison["answer"] == EQUAL
    assert comparison["first_difference"] is comparison["likely_reason"] is None
    assert comparison["differing_tensors"] == {}
    json.dumps(comparison)


def test_other_labels_are_noticed_at_the_first_step(original: ModelPackage, tmp_path: Path) -> None:
    other = import_digits(tmp_path / "other", flipped_labels=20)
    comparison = compare(original, run(other, tmp_path / "run", spec("finetune", **REQUEST)).package)

    assert not comparison["equal"]
    assert comparison["first_difference"]["step"] == 1
    assert comparison["first_difference"]["tensor"] in trace_of(original).checkpoints[1].tensors
    assert comparison["likely_reason"] == "other data"
    assert comparison["differing_tensors"]


def test_another_seed_differs_in_the_initial_weights(digits: Path, original: ModelPackage, tmp_path: Path) -> None:
    comparison = compare(original, run(digits, tmp_path, spec("finetune", **REQUEST, seed=1)).package)

    assert comparison["first_difference"]["step"] == 0
    assert "the initial weights" in comparison["answer"]
    assert "nothing that was recorded differs" in comparison["likely_reason"]


def make_environment(**changes: Any) -> Environment:
    values = {
        "dataset": "d",
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "processor": "A",
        "torch": "2.13.0",
        "plinth": "0.2.0",
        "python": "3.11.7",
    }
    return Environment.model_validate({**values, **changes})


def test_reasons_are_what_differs_the_likeliest_first() -> None:
    before = make_environment()

    assert explain(before, before) == []
    assert explain(before, make_environment(threads=2, dataset="e", python="3.12.1")) == [
        "other data",
        "another number of threads: 1, now 2",
        "another version of Python: 3.11.7, now 3.12.1",
    ]


def test_a_step_that_is_missing_is_a_difference(original: ModelPackage) -> None:
    trace = trace_of(original)
    shorter = trace.model_copy(update={"checkpoints": trace.checkpoints[:-1]})

    assert find_difference(trace, trace) is None
    difference = find_difference(trace, shorter)
    assert difference is not None
    assert difference.step == trace.checkpoints[-1].step


def test_an_older_package_is_compared_by_its_final_weights(
    digits: Path, original: ModelPackage, tmp_path: Path
) -> None:
    files = [entry for entry in original.manifest.files if entry.path != TRACE]
    old = ModelPackage(original.directory, original.manifest.model_copy(update={"files": files}))

    assert compare(old, original)["equal"]
    other = compare(old, run(digits, tmp_path, spec("finetune", **REQUEST, seed=1)).package)

    assert "the final weights differ, first in" in other["answer"]
    assert "before environments were recorded" in other["likely_reason"]
