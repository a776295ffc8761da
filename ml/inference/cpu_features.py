"""Whether this processor cuts off sums of products in 8 bits.

One without VNNI adds two such products in 16 bits, which hold 32,767 and no more: large activations times large weights
become something else. ONNX Runtime then has to be told to be exact, which takes it twice the time on any processor, so
it is told only where it matters (`session.x64quantprecision`). No list of processors knows that as well as a sum.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

TERMS: Final = 4
LARGEST: Final = 255
WEIGHT: Final = 127
_PRODUCT: Final = (
    b'\x08\x08:\x94\x01\n\x18\n\x01x\n\x01w\x12\x01y"\rMatMulInteger\x12\x01g*K\x08\x04\x08\x10\x10\x03B\x01wJ@'
    + bytes([WEIGHT]) * TERMS * 16
    + b"Z\x13\n\x01x\x12\x0e\n\x0c\x08\x02\x12\x08\n\x02\x08\x01\n\x02\x08\x04"
    + b"b\x13\n\x01y\x12\x0e\n\x0c\x08\x06\x12\x08\n\x02\x08\x01\n\x02\x08\x10B\x04\n\x00\x10\r"
)
"""The ONNX model y = x w, uint8 [1, 4] times int8 [4, 16], all of which are `WEIGHT`; a test writes it likewise."""


@cache
def saturates() -> bool:
    """Whether the largest sum comes out smaller than it is."""
    # As costly to import as in `ml.inference.onnx_session`.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(_PRODUCT, options, providers=["CPUExecutionProvider"])
    (sums,) = session.run(None, {"x": np.full((1, TERMS), LARGEST, dtype=np.uint8)})
    return bool((sums != TERMS * LARGEST * WEIGHT).any())
