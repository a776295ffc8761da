"""Detection of processors that saturate sums of 8-bit products.

A processor without VNNI adds pairs of such products in 16 bits, up to 32,767: sums of large activations times large
weights are cut off. ONNX Runtime has an exact mode (`session.x64quantprecision`), which takes twice the time on any
processor, so it is set only where it is needed. A test product detects this more reliably than a list of processors.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

TERMS: Final = 4
MAX_ACTIVATION: Final = 255
WEIGHT: Final = 127
#: The ONNX model y = x w, uint8 [1, 4] times int8 [4, 16], where all weights are `WEIGHT`; a test makes the same bytes.
_PRODUCT: Final = (
    b'\x08\x08:\x94\x01\n\x18\n\x01x\n\x01w\x12\x01y"\rMatMulInteger\x12\x01g*K\x08\x04\x08\x10\x10\x03B\x01wJ@'
    + bytes([WEIGHT]) * TERMS * 16
    + b"Z\x13\n\x01x\x12\x0e\n\x0c\x08\x02\x12\x08\n\x02\x08\x01\n\x02\x08\x04"
    + b"b\x13\n\x01y\x12\x0e\n\x0c\x08\x06\x12\x08\n\x02\x08\x01\n\x02\x08\x10B\x04\n\x00\x10\r"
)


@cache
def saturates() -> bool:
    """Return whether this processor saturates sums of 8-bit products."""
    # As expensive to import as in `ml.inference.onnx_session`.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(_PRODUCT, options, providers=["CPUExecutionProvider"])
    (sums,) = session.run(None, {"x": np.full((1, TERMS), MAX_ACTIVATION, dtype=np.uint8)})
    return bool((sums != TERMS * MAX_ACTIVATION * WEIGHT).any())
