"""Checks for near duplicates of audio clips, by a perceptual hash of their spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.column_types import COLUMN_TYPES
from ml.data.cross_checks.near_duplicate_images import NearDuplicateImages
from ml.data.similarity import image_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Samples of one frame of a spectrogram, and from one frame to the next.
_FRAME: Final = 512
_HOP: Final = 128
#: Amplitudes as fractions of the largest: below, the start and the end of a clip are silence.
_SILENCE: Final = 0.05
#: Smallest magnitude as a fraction of the largest; noise of compression lies below.
_FLOOR: Final = 1e-2
#: Gray levels of one unit of the natural logarithm, as thumbnails expect gray levels.
_GRAY_LEVELS: Final = 100


class NearDuplicateSounds(NearDuplicateImages):
    """Compares the spectrograms of clips without silence at both ends, whatever their volume."""

    name = "near_duplicate_sounds"
    key_type = "audio"
    max_rows = 50_000
    #: Correlation of thumbnails. At 0.97, none of 1,500 spoken digits (FSDD) has a twin; louder or padded copies are
    #: all found, and two of three that were cut by 10 ms or compressed as MP3.
    min_similarity = 0.97

    def to_gray(self, values: Sequence[Any]) -> np.ndarray:
        """Return the spectrograms of stored clips as gray images, float32 [n, side, side]."""
        return np.stack([make_spectrogram(COLUMN_TYPES["audio"].unpack(value).samples) for value in values])


def make_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return a log spectrogram of one size, float32 [side, side], whose bands have mean 0.

    A steady tone has no features left, and is not compared.
    """
    loud = np.flatnonzero(np.abs(samples) > _SILENCE * np.abs(samples).max(initial=0))
    sound = samples[loud[0] : loud[-1] + 1] if len(loud) else samples
    sound = np.pad(sound, (0, max(0, _FRAME - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FRAME)[::_HOP] * np.hanning(_FRAME)
    magnitudes = np.abs(np.fft.rfft(frames))[:, 1:]
    levels = np.log(np.maximum(magnitudes, magnitudes.max() * _FLOOR) + 1e-9)
    times, bands = (image_hash.resampling(size) for size in levels.shape)
    small = times @ levels @ bands.T
    spectrogram: np.ndarray = (_GRAY_LEVELS * (small - small.mean(axis=0))).astype(np.float32)
    return spectrogram
