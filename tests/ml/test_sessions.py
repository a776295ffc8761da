"""Where graphs run."""

from pathlib import Path

import onnxruntime
import pytest

from ml.errors import PackageError
from ml.package import ModelPackage
from ml.predictor import Predictor
from tests.app.factories import SIDE, shades

HAS_GPU = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
ASKED = [{"pixels": [[7] * SIDE] * SIDE}]


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return shades(tmp_path / "shades")


@pytest.mark.parametrize("asked", ["tpu", "cuda:x", "cpu:1"])
def test_a_device_that_there_is_not_is_refused(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("PLINTH_PREDICT_DEVICE", asked)
    with pytest.raises(PackageError, match="there is no device"):
        Predictor.load(package)


@pytest.mark.skipif(HAS_GPU, reason="this ONNX Runtime knows GPUs")
def test_a_gpu_is_refused_where_onnx_runtime_knows_none(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_PREDICT_DEVICE", "cuda:0")
    with pytest.raises(PackageError, match="knows no GPU") as refused:
        Predictor.load(package)
    assert "onnxruntime-gpu" in str(refused.value.hint)


@pytest.mark.skipif(not HAS_GPU, reason="no CUDA device")
def test_a_gpu_answers_as_the_processor_does(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = Predictor.load(package).predict(ASKED)
    monkeypatch.setenv("PLINTH_PREDICT_DEVICE", "cuda")
    (found,) = Predictor.load(package).predict(ASKED)
    assert found["label"] == expected["label"]
    # TF32 keeps ten bits of what is multiplied.
    assert found["confidence"] == pytest.approx(expected["confidence"], abs=2e-3)
