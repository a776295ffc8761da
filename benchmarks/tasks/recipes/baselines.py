"""Simple models of scikit-learn for the same rows, at usual settings.

They learn from train and validation rows. Pixels, stretched log spectrograms and words go to logistic regression.
Reports of tables and of histories have their own: gradient boosting, and the most popular items. No setting was chosen
on these datasets.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.encoders.log_mel import LogMelEncoder
from ml.metrics import error_rate

if TYPE_CHECKING:
    from ml.data.dataset import Dataset

#: Frames of a stretched spectrogram.
FRAMES: Final = 32

Split = list[Mapping[str, Any]]


def fit(dataset: Dataset, task: str) -> float:
    """Return the accuracy of the simple model on the test rows.

    For speech recognition, it is the word error rate.
    """
    train: Split = [row for split in ("train", "validation") for row in dataset.rows(split)]
    test: Split = list(dataset.rows("test"))
    features, target = {
        "image_classification": (_pixels, "label"),
        "text_classification": (_words, "label"),
        "audio_classification": (_spectrograms, "label"),
        "speech_recognition": (_spectrograms, "text"),
    }[task]
    predicted = _regression(*features(train, test), [row[target] for row in train])
    expected = [row[target] for row in test]
    if task == "speech_recognition":
        return error_rate.evaluate(predicted, expected, train=None).metrics["word_error_rate"]
    return float(np.mean(np.array(predicted) == np.array(expected)))


def _regression(train: Any, test: Any, target: Sequence[str]) -> list[str]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=300).fit(train, target)
    return [str(label) for label in model.predict(test)]


def _pixels(train: Split, test: Split) -> tuple[Any, Any]:
    def flatten(rows: Split) -> np.ndarray:
        return np.array([np.asarray(row["image"], dtype=np.float32).ravel() / 255 for row in rows])

    return flatten(train), flatten(test)


def _words(train: Split, test: Split) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return vectorizer.fit_transform([row["text"] for row in train]), vectorizer.transform([row["text"] for row in test])


def _spectrograms(train: Split, test: Split) -> tuple[Any, Any]:
    from sklearn.preprocessing import StandardScaler

    encoder = LogMelEncoder.learn([row["audio"] for row in train], {})

    def stretch(rows: Split) -> np.ndarray:
        clips = encoder.encode([row["audio"] for row in rows])
        places = (np.linspace(0, len(clip) - 1, FRAMES).round().astype(int) for clip in clips)
        return np.array([clip[place].ravel() for clip, place in zip(clips, places, strict=True)], dtype=np.float32)

    scaler = StandardScaler()
    # Frames are many and correlated: small values regularize their weights more.
    return scaler.fit_transform(stretch(train)) / 10, scaler.transform(stretch(test)) / 10
