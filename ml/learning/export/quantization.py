"""Quantized forms of an ONNX graph; `ml.learning.export.graph_selection` chooses which of them is served.

Measured on an AMD EPYC with AVX-512 VNNI (docs/decisions has the figures): int8 pays for matrix products; half
precision does not (ONNX Runtime computes float16 as float32 there, and has no bfloat16 matrix product at all).
Convolutions gain most, once the ranges of what they read are known before.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.inference.onnx_weights import align_weights
from ml.learning.export import per_row_quantization

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ml.signals import Arrays


@dataclass(frozen=True, slots=True)
class QuantizationCandidate:
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


def _by_row(source: Path, target: Path, calls: Sequence[Arrays]) -> None:  # noqa: ARG001 - likewise
    per_row_quantization.write(source, target)


CANDIDATES: Final = (
    # Activations get a scale for each row.
    QuantizationCandidate("int8_rows", _by_row),
    # Activations get one scale a call: a row with a large value takes precision from all others in it. What this has
    # beside the first is 8 bits in recurrent layers.
    QuantizationCandidate("int8", _dynamic, alone=True),
    # Activations have the scale that rows seen before had, for all that comes. Convolutions, too, are in 8 bits.
    QuantizationCandidate("int8_static", _calibrated),
)
"""All that are tried, on whatever graph. One more is one more line."""


class QuantizationFailed(Exception):
    """A graph that the tools make nothing of."""


def write(candidate: QuantizationCandidate, source: Path, target: Path, calls: Sequence[Arrays]) -> None:
    """As a file to be mapped, without the advice that the tools give on the way; raises `QuantizationFailed`."""
    try:
        with _quiet():
            candidate.write(source, target, calls)
        align_weights(target)
    except Exception as error:  # the tools' exceptions have no common base
        raise QuantizationFailed(f"{candidate.name} of {source.name}: {type(error).__name__}: {error}") from error


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
