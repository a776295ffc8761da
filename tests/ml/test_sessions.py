"""Where graphs run."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ml.errors import PackageError
from ml.sessions import Session
from tests.app.factories import SIDE, shades

HAS_GPU = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
ASKED = {"image": np.full((1, 1, SIDE, SIDE), 0.2, dtype=np.float32)}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    package = shades(tmp_path / "shades")
    return package.file(package.manifest.graphs["model"].file)


@pytest.mark.parametrize("asked", ["tpu", "cuda:x", "cpu:1"])
def test_a_device_that_there_is_not_is_refused(graph: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("PLINTH_PREDICT_DEVICE", asked)
    with pytest.raises(PackageError, match="there is no device"):
        Session(graph)


@pytest.mark.skipif(HAS_GPU, reason="this ONNX Runtime knows GPUs")
def test_a_gpu_is_refused_where_onnx_runtime_knows_none(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_PREDICT_DEVICE", "cuda:0")
    with pytest.raises(PackageError, match="knows no GPU") as refused:
        Session(graph)
    assert "onnxruntime-gpu" in str(refused.value.hint)


@pytest.mark.skipif(not HAS_GPU, reason="no CUDA device")
def test_a_gpu_answers_as_the_processor_does(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = Session(graph).run(ASKED).values()
    monkeypatch.setenv("PLINTH_PREDICT_DEVICE", "cuda")
    (found,) = Session(graph).run(ASKED).values()
    # TF32 keeps ten bits of what is multiplied.
    np.testing.assert_allclose(found, expected, atol=2e-3)
