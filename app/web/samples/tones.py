"""Tones: clips of three beeps, with their names as the transcript."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Final

import numpy as np

from app.web.samples.base import SampleData, split_of

if TYPE_CHECKING:
    from app.web.samples.base import Files

CLIPS: Final = 320
BEEPS: Final = 3
RATE: Final = 8_000
SEED: Final = 7
#: Name of a pitch -> Hz.
PITCHES: Final = {"a": 440.0, "d": 587.0, "g": 784.0, "c": 1047.0}


def _clip(names: list[str], random_state: np.random.Generator) -> bytes:
    pieces = [np.zeros(int(RATE * 0.05))]
    for name in names:
        times = np.arange(int(RATE * random_state.uniform(0.12, 0.2))) / RATE
        pitch = PITCHES[name] * random_state.uniform(0.98, 1.02)
        envelope = np.minimum(1, np.minimum(times, times[::-1]) / 0.02)
        pieces += [np.sin(2 * np.pi * pitch * times) * envelope, np.zeros(int(RATE * random_state.uniform(0.05, 0.1)))]
    samples = np.concatenate(pieces) * random_state.uniform(0.3, 0.7)
    samples += random_state.normal(0, 0.01, len(samples))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(RATE)
        output.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _files() -> Files:
    random_state = np.random.default_rng(SEED)
    lines = ["file_name,text,split"]
    for number in range(CLIPS):
        names = [str(name) for name in random_state.choice(list(PITCHES), BEEPS)]
        yield f"clips/{number:03}.wav", _clip(names, random_state)
        lines.append(f"clips/{number:03}.wav,{' '.join(names)},{split_of(number)}")
    yield "metadata.csv", "\n".join(lines).encode()


SAMPLE = SampleData(
    title="Tones",
    summary="320 clips of three beeps. Learns to write down the notes it hears, as a speech model does words.",
    task="speech_recognition",
    sketch="M6 20h6l4-12 6 26 6-28 6 28 6-22 4 14 4-8h10",
    place=2,
    files=_files,
)
