"""Mel spectrograms of audio clips, and audio from them."""

import numpy as np

from ml.audio.waveform import Audio
from ml.encoders.mel_spectrogram import MelSpectrogramEncoder

RATE_HZ = 8_000


def test_how_long_a_speaker_waited_before_and_after_is_not_heard() -> None:
    tone = np.sin(np.arange(RATE_HZ // 2) * 2 * np.pi * 440 / RATE_HZ).astype(np.float32)
    hiss = np.random.default_rng(0).normal(scale=1e-4, size=RATE_HZ).astype(np.float32)
    at_once, waited = Audio(tone, RATE_HZ), Audio(np.concatenate([hiss[:1600], tone, hiss]), RATE_HZ)
    quick, slow = MelSpectrogramEncoder.learn([at_once], {}).encode([at_once, waited])
    # The window is four hops long: up to two frames at either end hear the tone come and go.
    assert abs(len(slow) - len(quick)) <= 4


def test_silence_alone_is_kept() -> None:
    encoder = MelSpectrogramEncoder.learn([Audio(np.zeros(800, dtype=np.float32), RATE_HZ)], {})
    (frames,) = encoder.encode([Audio(np.zeros(800, dtype=np.float32), RATE_HZ)])
    assert len(frames) == 9
