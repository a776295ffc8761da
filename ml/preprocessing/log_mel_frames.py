"""Frames of a log mel spectrogram: at one rate and peak level, stacked, padded.

Exported ONNX folders run a copy of this file.

T frames, F bands, B batch, T' frames after stacking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.audio.resampling import resample
from ml.audio.spectrum import Framing, log_mel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.audio.waveform import Audio


def peak_normalized_log_mel(audio: Audio, framing: Framing) -> np.ndarray:
    """Return the log-mel spectrogram, float32 [T, F], of resampled audio with a peak of 1.

    The level depends on the distance of the microphone, not on the words.
    """
    samples = resample(audio.samples, audio.rate_hz, framing.rate_hz)
    peak = np.abs(samples).max(initial=0)
    return log_mel(samples / peak if peak > 0 else samples, framing)


def normalize_bands(
    log_mel_TF: np.ndarray, *, mean: Sequence[float], deviation: Sequence[float], per_clip: bool = False
) -> np.ndarray:
    """Normalize each band by its mean and deviation.

    With `per_clip`, the mean is that over the clip. Returns float16 [T, F], which takes half the memory of float32.
    """
    mean_F, deviation_F = (np.array(values, dtype=np.float32) for values in (mean, deviation))
    if per_clip:
        mean_F = log_mel_TF.mean(axis=0)
    return np.asarray((log_mel_TF - mean_F) / deviation_F, dtype=np.float16)


def stack_frames(frames_TF: np.ndarray, *, stacked: int, stride: int) -> np.ndarray:
    """Concatenate every `stride`-th frame with its neighbors; ends are repeated.

    Returns float32 [T', stacked * F].
    """
    before = (stacked - 1) // 2
    padded = np.pad(np.asarray(frames_TF, dtype=np.float32), ((before, stacked), (0, 0)), mode="edge")
    starts = np.arange(-(-len(frames_TF) // stride)) * stride
    return np.concatenate([padded[starts + offset] for offset in range(stacked)], axis=1)


def pad_frames(rows: Sequence[np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
    """Pad rows, float [T, F], with zeros at the end.

    Returns `signal`, float32 [B, T, F], and `mask`, bool [B, T].
    """
    lengths = np.array([len(frames) for frames in rows])
    signal = np.zeros((len(rows), lengths.max(), rows[0].shape[1]), dtype=np.float32)
    for row, frames in enumerate(rows):
        signal[row, : len(frames)] = frames
    return {"signal": signal, "mask": np.arange(lengths.max()) < lengths[:, None]}
