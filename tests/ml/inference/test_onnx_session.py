"""Sessions of ONNX Runtime: devices, shared memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml.errors import PackageError
from ml.inference.onnx_session import Session
from tests.support.factories import SIDE, shades

HAS_GPU = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
ROWS, WIDTH = 1024, 8192
BATCH = {"image": np.full((1, 1, SIDE, SIDE), 0.2, dtype=np.float32)}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    package = shades(tmp_path / "shades")
    return package.file(package.manifest.graphs["model"].file)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:1"])
def test_an_unknown_device_is_an_error(graph: Path, device: str) -> None:
    with pytest.raises(PackageError, match="there is no device"):
        Session(graph, device=device)


@pytest.mark.skipif(HAS_GPU, reason="this ONNX Runtime knows GPUs")
def test_a_gpu_is_an_error_where_onnx_runtime_supports_none(graph: Path) -> None:
    with pytest.raises(PackageError, match="does not support GPUs") as caught:
        Session(graph, device="cuda:0")
    assert "onnxruntime-gpu" in str(caught.value.hint)


@pytest.mark.skipif(not HAS_GPU, reason="no CUDA device")
def test_a_gpu_gives_the_outputs_of_the_processor(graph: Path) -> None:
    (expected,) = Session(graph).run(BATCH).values()
    (output,) = Session(graph, device="cuda").run(BATCH).values()
    # TF32 multiplies with ten bits of mantissa.
    np.testing.assert_allclose(output, expected, atol=2e-3)


def test_sessions_keep_together_what_the_largest_call_took(tmp_path: Path) -> None:
    paths = [_widening(tmp_path / f"{number}.onnx", factor=number) for number in range(4)]
    # In a process of its own: whatever ran here before has made room already.
    code = f"""
import numpy, psutil
from pathlib import Path
from ml.inference.onnx_session import Session

rows = {{"rows": numpy.ones(({ROWS}, 1), dtype=numpy.float32)}}
for path in {[str(path) for path in paths]!r}:
    session, before = Session(Path(path)), psutil.Process().memory_info().rss
    session.run(rows)
    print(psutil.Process().memory_info().rss - before)
    kept = [*globals().get("kept", ()), session]
"""
    stdout = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    first, *others = map(int, stdout.split())
    assert first > ROWS * WIDTH * 4  # bytes of one float32 [ROWS, WIDTH]; there is at least one at a time
    assert max(others) < ROWS * WIDTH


def _widening(path: Path, *, factor: float) -> Path:
    """Little in and little out, and much between."""
    input_info = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 1])
    output = helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["n", 1])
    nodes = [
        helper.make_node("MatMul", ["rows", "wide"], ["many"]),
        helper.make_node("Exp", ["many"], ["more"]),
        helper.make_node("MatMul", ["more", "narrow"], ["sums"]),
    ]
    wide = numpy_helper.from_array(np.full((1, WIDTH), factor, np.float32), "wide")
    narrow = numpy_helper.from_array(np.ones((WIDTH, 1), np.float32), "narrow")
    graph = helper.make_graph(nodes, "widening", [input_info], [output], [wide, narrow])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path
