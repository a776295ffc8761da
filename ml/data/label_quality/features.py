"""Features of texts, images and audio clips for a small linear model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.data.column_types import COLUMN_TYPES
from ml.data.files import images
from ml.data.similarity.image_hash import resampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Hashed words and pairs of words of a text.
_TEXT_FEATURES: Final = 1 << 15
_IMAGE_SIDE: Final = 16
#: Samples of one frame of a spectrogram, and from one frame to the next.
_FRAME: Final = 512
_HOP: Final = 256
#: Size of a spectrogram, whatever the duration of the clip.
_SPECTROGRAM: Final = (12, 24)
#: Random Fourier features, which make a linear model one with a Gaussian kernel (Rahimi & Recht, 2007).
_FOURIER_FEATURES: Final = 768
_SAMPLED_PAIRS: Final = 2_000


def text_features(values: Iterable[bytes]) -> Any:
    """Return a sparse matrix of words and pairs of words, float [N, F]."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(
        ngram_range=(1, 2), n_features=_TEXT_FEATURES, alternate_sign=False, norm=None, binary=True
    )
    return TfidfTransformer().fit_transform(hashing.transform(value.decode() for value in values))


def image_features(values: Iterable[np.ndarray | bytes]) -> np.ndarray:
    """Return Fourier features of small color images, float32 [N, F]."""
    return _fourier_features(np.stack([_shrink_image(value) for value in values]))


def audio_features(values: Iterable[bytes]) -> np.ndarray:
    """Return Fourier features of small log spectrograms, float32 [N, F]."""
    return _fourier_features(np.stack([_shrink_audio(value) for value in values]))


#: Column type -> features of stored values.
FEATURES: Final[Mapping[str, Callable[[Iterable[Any]], Any]]] = {
    "text": text_features,
    "image": image_features,
    "audio": audio_features,
}


def _shrink_image(value: np.ndarray | bytes) -> np.ndarray:
    pixels = images.decode_small(value, min_side=2 * _IMAGE_SIDE) if isinstance(value, bytes) else value
    height, width, channels = pixels.shape
    planes = np.moveaxis(pixels.astype(np.float32), 2, 0)
    small = resampling(height, _IMAGE_SIDE) @ planes @ resampling(width, _IMAGE_SIDE).T
    color = small if channels == 3 else np.broadcast_to(small, (3, _IMAGE_SIDE, _IMAGE_SIDE))
    return color.ravel()


def _shrink_audio(value: bytes) -> np.ndarray:
    samples = COLUMN_TYPES["audio"].unpack(value).samples
    samples = np.pad(samples, (0, max(0, _FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP] * np.hanning(_FRAME)
    spectrogram = np.log(np.abs(np.fft.rfft(frames))[:, 1:] + 1e-4).astype(np.float32)
    times, bands = (resampling(size, target) for size, target in zip(spectrogram.shape, _SPECTROGRAM, strict=True))
    shrunk: np.ndarray = (times @ spectrogram @ bands.T).ravel()
    return shrunk


def _fourier_features(values: np.ndarray) -> np.ndarray:
    """Return random Fourier features of N rows.

    Their kernel is as wide as the median distance of two rows.
    """
    generator = np.random.default_rng(0)
    values = values - values.mean(axis=0)
    left, right = (generator.integers(0, len(values), _SAMPLED_PAIRS) for _ in range(2))
    squared_distances = ((values[left] - values[right]) ** 2).sum(axis=1)
    scale = np.sqrt(2 / max(float(np.median(squared_distances)), 1e-6))
    weights = generator.normal(scale=scale, size=(values.shape[1], _FOURIER_FEATURES)).astype(np.float32)
    phases = generator.uniform(0, 2 * np.pi, _FOURIER_FEATURES).astype(np.float32)
    features: np.ndarray = np.sqrt(2) * np.cos(values @ weights + phases)
    return features
