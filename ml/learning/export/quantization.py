"""Quantization of an ONNX graph to int8; `ml.learning.export.graph_selection` chooses which of them is served.

Measured on an AMD EPYC with AVX-512 VNNI (docs/decisions has the figures): int8 pays for matrix products; half
precision does not (ONNX Runtime computes float16 as float32 there, and has no bfloat16 matrix product at all).
Convolutions gain most, if the ranges of their inputs are known in advance.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.inference.onnx_weights import align_weights
from ml.learning.export import per_row_quantization
from ml.learning.export.shared_weights import copy_shared_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml.signals import Arrays


@dataclass(frozen=True, slots=True)
class QuantizationCandidate:
    """A way to quantize: `write` makes the second file from the first, given sampled calls."""

    name: str
    write: Callable[[Path, Path, Sequence[Arrays]], None]
    #: Whether rows of one call change each other's outputs, so that each needs a call of its own.
    single_row: bool = False


def _write_dynamic(source: Path, target: Path, calls: Sequence[Arrays]) -> None:  # noqa: ARG001 - a candidate's arguments
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)


def _write_static(source: Path, target: Path, calls: Sequence[Arrays]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class CallReader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            self._calls = iter(calls)

        def get_next(self) -> Arrays | None:
            return next(self._calls, None)

    quantize_static(
        source,
        target,
        CallReader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"MatMulConstBOnly": True},
    )


def _write_per_row(source: Path, target: Path, calls: Sequence[Arrays]) -> None:  # noqa: ARG001 - likewise
    per_row_quantization.write(source, target)


#: All candidates; each is tried on any graph. A new one is one line here.
CANDIDATES: Final = (
    # Activations have a scale for each row.
    QuantizationCandidate("int8_rows", _write_per_row),
    # Activations have one scale a call: a row with a large value costs all others of the call precision. Unlike the
    # first, this also quantizes recurrent layers.
    QuantizationCandidate("int8", _write_dynamic, single_row=True),
    # Activations have the scale of sampled calls, for all later ones. Convolutions are quantized, too.
    QuantizationCandidate("int8_static", _write_static),
)


class QuantizationFailed(Exception):
    """The tools cannot quantize a graph."""


def write(candidate: QuantizationCandidate, source: Path, target: Path, calls: Sequence[Arrays]) -> None:
    """Write a quantized graph with aligned weights, and without the warnings of the tools.

    Raises:
        QuantizationFailed: The tools fail.
    """
    try:
        with _suppress_warnings(), tempfile.TemporaryDirectory(dir=target.parent) as folder:
            copied = Path(folder) / source.name
            candidate.write(copied if copy_shared_weights(source, copied) else source, target, calls)
        align_weights(target)
    except Exception as error:  # the tools' exceptions have no common base
        raise QuantizationFailed(f"{candidate.name} of {source.name}: {type(error).__name__}: {error}") from error


@contextmanager
def _suppress_warnings() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # A mask is minus infinity, which has no range; the result is evaluated like any other.
        with np.errstate(invalid="ignore", divide="ignore"):
            yield
    finally:
        logging.disable(before)
