import shutil
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml.inference import cpu_features


def test_the_constant_is_this_graph_in_bytes() -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, cpu_features.TERMS])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
        [numpy_helper.from_array(np.full((cpu_features.TERMS, 16), cpu_features.WEIGHT, dtype=np.int8), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert model.SerializeToString() == cpu_features._PRODUCT


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 to be another processor with")
@pytest.mark.parametrize(("processor", "expected"), [("max", True), ("Nehalem", False)])
def test_processors_are_distinguished_by_what_they_add(processor: str, *, expected: bool) -> None:
    # One has AVX2 and nothing of AVX-512; the other, older, has neither, and adds in 32 bits.
    code = "from ml.inference.cpu_features import saturates; print(saturates())"
    ran = subprocess.run(
        ["qemu-x86_64", "-cpu", processor, sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(expected)
