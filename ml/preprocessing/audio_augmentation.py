"""Data augmentation of audio: speed, pitch, position, level and noise, and masks.

It varies encoded clips: log-mel frames, float16 [T, F], T frames of F bands, each normalized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

Augmentation = Literal["auto", "off", "light", "strong"]
Strength = Literal["off", "light", "strong"]

#: Training rows below which `auto` augments: a network memorizes so few clips within the steps that it needs.
FEW_ROWS: Final = 2_000
DESCRIPTION: Final = (
    "`light`: silence a few frequency bands and a short time span of each training clip; `strong`: also vary its "
    f"speed, pitch, position and level, and add noise; `auto`: `strong` below {FEW_ROWS:,} training rows, else `off`."
)
#: Maximum fraction of bands, and of frames, that augmentation hides: at most about a phoneme, or the text could not be
#: recognized.
MAX_HIDDEN_BANDS: Final = 0.2
MAX_HIDDEN_TIME: Final = 0.1
#: Maximum change of speed, as a factor; that of Ko et al. 2015 (Audio augmentation for speech recognition) is 1.1.
MAX_SPEED: Final = 1.2
#: Maximum factor between the bands of two speakers, whose vocal tracts differ in length (Jaitly & Hinton 2013, Vocal
#: tract length perturbation). In mel bands, it is a factor of up to 1.25 between the highest frequencies.
MAX_WARP: Final = 1.1
#: Maximum fraction of its length by which a clip begins later.
MAX_DELAY: Final = 0.1
#: Maximum change of the level of all bands, and of the balance of low and high ones, in deviations of a band.
MAX_LEVEL: Final = 0.3
#: Maximum deviation of the noise, in deviations of a band.
MAX_NOISE: Final = 0.2


def resolve(augmentation: Augmentation, *, rows: int) -> Strength:
    """Return the strength for a number of training rows."""
    if augmentation == "auto":
        return "strong" if rows < FEW_ROWS else "off"
    return augmentation


def augment(clips: Iterable[np.ndarray], generator: np.random.Generator, *, strength: Strength) -> list[np.ndarray]:
    """Return varied copies of encoded clips, float16 [T, F] each.

    T may change by the speed and the delay.
    """
    if strength == "off":
        return list(clips)
    if strength == "light":
        return [mask(frames_TF, generator) for frames_TF in clips]
    return [mask(_vary(frames_TF, generator), generator) for frames_TF in clips]


def mask(frames_TF: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a copy with one span of bands and one of time at their mean.

    The mean is 0, as frames are normalized. This is SpecAugment (Park et al. 2019, arXiv:1904.08779) without time
    warping.
    """
    masked = frames_TF.copy()
    for axis, max_fraction in ((1, MAX_HIDDEN_BANDS), (0, MAX_HIDDEN_TIME)):
        length = masked.shape[axis]
        width = int(generator.integers(0, int(max_fraction * length) + 1))
        start = int(generator.integers(0, length - width + 1))
        np.moveaxis(masked, axis, 0)[start : start + width] = 0
    return masked


def _vary(frames_TF: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change speed, pitch, position, level and balance, and add noise."""
    length, bands = frames_TF.shape
    speed, warp = np.exp(generator.uniform(-1, 1, size=2) * np.log([MAX_SPEED, MAX_WARP]))
    time_T = np.linspace(0, length - 1, max(2, round(length / speed)))
    delay = int(generator.integers(0, int(MAX_DELAY * len(time_T)) + 1))
    time_T = np.concatenate([np.zeros(delay), time_T])
    band_F = np.minimum(np.arange(bands) * warp, bands - 1)
    varied_TF = _interpolate(_interpolate(frames_TF.astype(np.float32), time_T).T, band_F).T
    level, balance, noise = generator.uniform([-MAX_LEVEL, -MAX_LEVEL, 0], [MAX_LEVEL, MAX_LEVEL, MAX_NOISE])
    varied_TF = varied_TF + level + balance * np.linspace(-1, 1, bands)
    return np.asarray(varied_TF + noise * generator.standard_normal(varied_TF.shape), dtype=frames_TF.dtype)


def _interpolate(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the rows at fractional positions, linearly interpolated."""
    lower = np.minimum(positions.astype(np.intp), len(rows) - 1)
    upper = np.minimum(lower + 1, len(rows) - 1)
    weight = (positions - lower)[:, None].astype(np.float32)
    return np.asarray(rows[lower] * (1 - weight) + rows[upper] * weight)
