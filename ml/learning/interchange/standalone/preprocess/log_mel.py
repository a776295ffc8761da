"""A recording is mixed down to one channel, resampled to `rate_hz` and scaled so that its loudest sample is 1. Frames
of `window` samples under a periodic Hann window, centred on multiples of `hop`, silence around, become the power in
`bands` mel bands (2595 log10(1 + hz / 700), triangles that weigh to 1; a full-scale tone is 1), its natural logarithm
(at least 1e-8), normalised by `mean` and `deviation` of each band, and rounded to float16. Each `stride`-th frame is
read with those around it, `stacked` in all, the ends repeated. float32 [batch, time, bands x stacked], zero where
filled up; the mask is bool [batch, time].
"""

from __future__ import annotations

import base64
import io
from math import ceil, gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "audio"
NEEDS = "soundfile"


def read(inputs: list[dict[str, Any]], about: dict[str, Any], folder: Path) -> dict[str, np.ndarray]:  # noqa: ARG001
    """`signal` and `mask`."""
    rows = [_stacked(_frames(base64.b64decode(given["audio"]), about), about) for given in inputs]
    lengths = np.array([len(row) for row in rows])
    signal = np.zeros((len(rows), lengths.max(), rows[0].shape[1]), dtype=np.float32)
    for row, frames in enumerate(rows):
        signal[row, : len(frames)] = frames
    return {"signal": signal, "mask": np.arange(lengths.max()) < lengths[:, None]}


def _frames(data: bytes, about: dict[str, Any]) -> np.ndarray:
    values, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    samples = values[:, 0] if values.shape[1] == 1 else values.mean(axis=1, dtype=np.float32)
    samples = _resampled(samples, rate_hz, about["rate_hz"])
    peak = np.abs(samples).max(initial=0)
    logarithm = _log_mel(samples / peak if peak > 0 else samples, about)
    mean, deviation = (np.array(about[name], dtype=np.float32) for name in ("mean", "deviation"))
    return ((logarithm - mean) / deviation).astype(np.float16).astype(np.float32)


def _stacked(frames: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    before = (about["stacked"] - 1) // 2
    padded = np.pad(frames, ((before, about["stacked"]), (0, 0)), mode="edge")
    starts = np.arange(-(-len(frames) // about["stride"])) * about["stride"]
    return np.concatenate([padded[starts + offset] for offset in range(about["stacked"])], axis=1)


def _log_mel(samples: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    window, hop = about["window"], about["hop"]
    transform = 1 << (window - 1).bit_length()
    hann = np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window), dtype=np.float32)
    padded = np.pad(samples, (window // 2, window - window // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: 1 + len(samples) // hop]
    spectrum = np.fft.rfft(windows * hann, transform).astype(np.complex64)
    power = np.abs(spectrum) ** 2 / float(hann.sum() / 2) ** 2
    return np.asarray(np.log(np.maximum(power @ _bands(about, transform).T, 1e-8)), dtype=np.float32)


def _bands(about: dict[str, Any], transform: int) -> np.ndarray:
    rate_hz, bands = about["rate_hz"], about["bands"]
    bins_hz = np.arange(transform // 2 + 1) * rate_hz / transform
    edges_mel = np.linspace(0, float(2595 * np.log10(1 + rate_hz / 2 / 700)), bands + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    weights = np.minimum((bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)).clip(0)
    deaf = np.flatnonzero(weights.sum(axis=1) == 0)
    weights[deaf, np.abs(bins_hz - middle[deaf]).argmin(axis=1)] = 1
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _resampled(samples: np.ndarray, rate_hz: int, new_rate_hz: int) -> np.ndarray:
    """By a sinc of 16 zero crossings to each side under a Kaiser window (Smith 2002)."""
    if rate_hz == new_rate_hz or not len(samples):
        return samples
    common = gcd(rate_hz, new_rate_hz)
    up, down = new_rate_hz // common, rate_hz // common
    cutoff = 0.945 * min(1.0, up / down)
    reach = ceil(16 / cutoff)
    behind = (np.arange(up) * down % up / up)[:, None]
    distance = np.arange(1 - reach, reach + 1) - behind
    kaiser = np.i0(8.6 * np.sqrt((1 - (distance / reach) ** 2).clip(0))) / np.i0(8.6)
    weights = cutoff * np.sinc(cutoff * distance) * kaiser
    weights = np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
    padded = np.pad(samples, (reach - 1, reach + down + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)
    found = np.empty(ceil(len(samples) * up / down), dtype=np.float32)
    for phase in range(min(up, len(found))):
        places = found[phase::up]
        places[:] = windows[phase * down // up :: down][: len(places)] @ weights[phase]
    return found
