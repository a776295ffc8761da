"""Ways to write a graph so that it may run faster; `ml.learning.variants` judges which of them may be served.

Measured on an AMD EPYC with AVX-512 VNNI (docs/decisions has the figures): int8 pays for matrix products; half
precision does not (ONNX Runtime computes float16 as float32 there, and has no bfloat16 matrix product at all).
Convolutions gain most, once the ranges of what they read are known before.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ml.tasks.base import Arrays

BLOCK: Final = 128
"""Weights of one column that share a scale. A quarter of that changes answers half as much, and gains half as much."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """`write` makes of a graph file another, and may look at calls that were made of it."""

    name: str
    write: Callable[[Path, Path, Sequence[Arrays]], None]
    alone: bool = False
    """Whether rows of one call change each other's answers, so that each needs a call of its own."""


def _dynamic(source: Path, target: Path, calls: Sequence[Arrays]) -> None:  # noqa: ARG001 - a candidate's arguments
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)


def _calibrated(source: Path, target: Path, calls: Sequence[Arrays]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Calls(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            self._rest = iter(calls)

        def get_next(self) -> Arrays | None:
            return next(self._rest, None)

    quantize_static(
        source,
        target,
        Calls(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"MatMulConstBOnly": True},
    )


def _in_blocks(source: Path, target: Path, calls: Sequence[Arrays]) -> None:  # noqa: ARG001 - likewise
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    # The fourth level of accuracy: sums of 8-bit products.
    how = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, accuracy_level=4, bits=8)
    quantiser: Any = MatMulNBitsQuantizer(onnx.load(source), algo_config=how)
    quantiser.process()
    quantiser.model.save_model_to_file(str(target), use_external_data_format=False)


CANDIDATES: Final = (
    # Activations get one scale a call: a row with a large value takes precision from all others in it.
    Candidate("int8", _dynamic, alone=True),
    # Activations have the scale that rows seen before had, for all that comes. Convolutions, too, are in 8 bits.
    Candidate("int8_static", _calibrated),
    # Activations get a scale for each block of a row.
    Candidate("int8_blocks", _in_blocks),
)
"""All that are tried, on whatever graph. One more is one more line."""


def write(candidate: Candidate, source: Path, target: Path, calls: Sequence[Arrays]) -> None:
    """Without the advice that the tools give on the way."""
    with _quiet():
        candidate.write(source, target, calls)


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # A mask is minus infinity, of which no range can be made; what comes of it is judged like all else.
        with np.errstate(invalid="ignore", divide="ignore"):
            yield
    finally:
        logging.disable(before)
